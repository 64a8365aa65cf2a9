#include <string.h>

#include "common/guard/git_config.h"
#include "common/memory.h"
#include "tests/unit/cmocka.h"

static void expect(const char *text, const char *refused)
{
    OWNED_BUFFER struct buffer kept = {0}, bad = {0}, again = {0}, none = {0};
    size_t count = git_config_filter(text, strlen(text), "/data/agents", &kept, &bad);
    assert_string_equal(bad.data ? bad.data : "", refused);
    assert_int_equal(count == 0, *refused == '\0');
    const char *good = kept.data ? kept.data : "";
    assert_int_equal(git_config_filter(good, strlen(good), "/data/agents", &again, &none), 0);
}

static void keys_that_can_do_nothing_stay(void **state)
{
    expect("[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = false\n\ttrustctime=false\n",
           "");
    expect("# mine\n[user]\n  name = Ann \"the # boss\" B ; said\n email=a@b\r\n", "");
    expect("[user] name = Ann\n[branch \"main\"]\n\tremote = origin\n\tmerge = refs/heads/main\n", "");
    expect("[branch \"exact \\\" name\"]\n", "line 1\n");
    expect("[remote \"origin\"]\n\turl = https://me:x@git.example/a/b.git\n"
           "\tfetch = +refs/heads/*:refs/remotes/origin/*\n\tpushurl = git@git.example:a/b.git\n",
           "");
    expect("[remote \"a\"]\nurl = ssh://git@host:22/x\nurl = /srv/git/x.git\nurl = file:///srv/git/.x.git\n",
           "");
    expect("", "");
}

static void keys_that_run_include_or_lead_go(void **state)
{
    expect("[core]\n\tpager = x\n\tfsmonitor=y\n\tsshCommand = z\n\thooksPath = h\n\tworktree = /\n",
           "core.pager\ncore.fsmonitor\ncore.sshCommand\ncore.hooksPath\ncore.worktree\n");
    expect("[include]\n path = /x\n[includeIf \"gitdir:/\"] path = y\n",
           "include.path\nincludeIf.gitdir:/.path\n");
    expect("[alias]\nlog = !sh\n[diff \"x\"]\ntextconv = y\n[filter \"f\"]\nclean = z\n",
           "alias.log\ndiff.x.textconv\nfilter.f.clean\n");
    expect("[CoRe]\nPAGER = x\n", "CoRe.PAGER\n");
    expect("[core] pager = x\n", "core.pager\n");
    expect("[extensions]\nworktreeConfig = true\n[core]\nrepositoryformatversion = 1\n",
           "extensions.worktreeConfig\ncore.repositoryformatversion\n");
    expect("[remote \"o\"]\nuploadpack = x\nvcs = y\nproxy = z\n",
           "remote.o.uploadpack\nremote.o.vcs\nremote.o.proxy\n");
    expect("[branch \"m\"]\nremote = ext::sh\nmergeoptions = -s x\n",
           "branch.m.remote\nbranch.m.mergeoptions\n");
}

static void remotes_lead_to_files_https_and_ssh_alone(void **state)
{
    static const char *const bad[] = {"ext::sh -c x",
                                      "git://h/x",
                                      "http::x",
                                      "../nova",
                                      "file://../x",
                                      "https:///x",
                                      "/data/agents/nova",
                                      "ssh://-oProxyCommand=x/y",
                                      "-oProxyCommand=x:y",
                                      "/srv/../data/agents/x",
                                      "file:///%64x",
                                      "/proc/self/cwd/x",
                                      "file:///dev/fd/3",
                                      "https://h /x",
                                      "fd::3",
                                      "file:///data/agents/nova/.git",
                                      "ssh://%2doProxyCommand=x/y"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        OWNED char *text = memory_print("[remote \"o\"]\n\turl = %s\n", bad[i]);
        expect(text, "remote.o.url\n");
    }
}

/* What one reader takes for a comment or a value must not be a section to another. */
static void lines_with_two_readings_go(void **state)
{
    expect("[user]\nname = a\\\n[include]\npath = x\n", "user.name\ninclude.path\n");
    expect("[user]\nname = \"a\n[include]\npath = x\n", "user.name\ninclude.path\n");
    expect("[user]\nname = a\r[include]\rpath = x\n", "line 2\n");
    expect("[user \nname = a\n", "line 1\nline 2\n");
    expect("name = a\n", "line 1\n");
    expect("[core.x]\nbare = false\n", "line 1\nline 2\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_that_can_do_nothing_stay),
        cmocka_unit_test(keys_that_run_include_or_lead_go),
        cmocka_unit_test(remotes_lead_to_files_https_and_ssh_alone),
        cmocka_unit_test(lines_with_two_readings_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
