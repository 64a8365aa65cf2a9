/* Any bytes as YAML: no crash, no growth, places within the text, and every text of the tree can be written and
 * read back. The bytes themselves, when they are text, survive as a scalar too. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/format/yamldoc.h"
#include "common/memory.h"
#include "common/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_scalar(const char *text)
{
    OWNED_BUFFER struct buffer out = {0};
    yaml_write_text(&out, "key", text);
    struct yaml_node *root = yaml_parse(out.data, out.length, "f", NULL);
    if (!root || !yaml_get(root, "key") || strcmp(yaml_get(root, "key")->text, text) != 0)
        abort();
    yaml_free(root);
}

static size_t check_tree(const struct yaml_node *node, int depth)
{
    size_t nodes = 1, count = 0;
    if (depth > YAML_DEPTH_MAX || node->line == 0 || node->column == 0)
        abort();
    if (node->kind == YAML_SCALAR)
        check_scalar(node->text);
    for (const struct yaml_node *child = node->child; child; child = child->next, count++) {
        if ((child->key != NULL) != (node->kind == YAML_MAPPING))
            abort();
        nodes += check_tree(child, depth + 1);
    }
    if (count != node->count)
        abort();
    return nodes;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fault fault = {0};
    struct yaml_node *root = yaml_parse((const char *)data, size, "f", &fault);
    if (root && check_tree(root, 0) > size + 2)
        abort();
    if (!root && (strncmp(fault.text, "f:", 2) != 0 || strchr(fault.text, '\n')))
        abort();
    yaml_free(root);
    OWNED char *text = utf8_clean((const char *)data, size);
    check_scalar(text);
    return 0;
}
