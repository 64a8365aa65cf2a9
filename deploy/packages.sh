# Sourced by deploy/run and deploy/test: which Debian packages are needed, and how they come in.

BUILD_PACKAGES="gcc libc6-dev cmake ninja-build pkg-config libcurl4-openssl-dev libyaml-dev libgit2-dev zlib1g-dev libbsd-dev
    libnng-dev libseccomp-dev libjansson-dev libmicrohttpd-dev libnats-dev ca-certificates"
# shellcheck disable=SC2034 # deploy/test uses it
TEST_PACKAGES="$BUILD_PACKAGES clang clang-format libclang-rt-14-dev libcmocka-dev python3 python3-pytest python3-pytest-xdist
    git openssh-server strace procps systemd iproute2 nftables shellcheck mandoc zsh prometheus nats-server openssl chromium nodejs fonts-dejavu-core"

say() {
    printf '%s\n' "$*" >&2
}

# missing PACKAGE...: those that aren't installed, one a line.
missing() {
    local package
    for package in "$@"; do
        [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || printf '%s\n' "$package"
    done
}

# need LOG PACKAGE...: installs what is missing, quietly; what apt says goes to LOG.
need() {
    local log=$1 sudo=() packages
    shift
    if ! command -v dpkg-query >/dev/null; then
        say "This is no Debian: make sure that these are installed: $*"
        return 0
    fi
    mapfile -t packages < <(missing "$@")
    [ ${#packages[@]} -gt 0 ] || return 0
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || {
            say "Packages are missing, only root can install them, and there is no sudo. As root, do this, then try again:"
            say "  apt-get update && apt-get install -y --no-install-recommends ${packages[*]}"
            return 1
        }
        sudo=(sudo)
    fi
    say "Installing ${#packages[@]} packages: ${packages[*]}"
    if ! { "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update -q &&
        "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends \
            -o DPkg::Lock::Timeout=300 "${packages[@]}"; } >"$log" 2>&1 </dev/null; then
        tail -n 20 "$log" >&2
        say "The packages could not be installed; all that apt said is in $log"
        return 1
    fi
}

# build PRESET FOLDER LOG [CMAKE-OPTION...]: configures and builds; what failed is shown.
build() {
    local preset=$1 folder=$2 log=$3
    shift 3
    mkdir -p "$folder" || return 1
    # One at a time: deploy/run and deploy/test share a folder.
    if ! { flock 9 && cmake -C "deploy/presets/$preset.cmake" -S . -B "$folder" -G Ninja "$@" && ninja -C "$folder"; } \
        9<"$folder" >"$log" 2>&1 </dev/null; then
        grep -A 12 '^FAILED:\|^CMake Error' "$log" >&2 || tail -n 40 "$log" >&2
        say "The build in $folder failed; all of it is in $log"
        return 1
    fi
}
