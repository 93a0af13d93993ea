/* SPDX-License-Identifier: Apache-2.0 */
/* cmd-cat.c - modelfs cat: one file of the tree, without mounting it */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "cmd.h"
#include "tree.h"
#include "../cache/arena.h"
#include "../cache/cleanup.h"

enum { CAT_PIECE = 1 << 20 };

/* Copy the bytes to stdout.  What a reader no longer wants is not an error of
 * ours: main() tells of a closed or full stdout. */
static int cat_copy(struct range data, struct error *err)
{
	_cleanup_free_ uint8_t *buf = malloc(CAT_PIECE);
	size_t got;
	int r;

	if (!buf)
		return fail(err, ENOMEM, "out of memory");
	for (uint64_t at = 0; at < data.size; at += got) {
		r = range_read(data, at, CAT_PIECE, buf, &got, err);
		if (r < 0)
			return r;
		if (got == 0)
			return fail(err, EIO, "the file ends at byte %llu of %llu",
				    (unsigned long long)at, (unsigned long long)data.size);
		if (fwrite(buf, 1, got, stdout) != got)
			return 0;
	}
	return 0;
}

static int cat_node(struct tree *t, struct node *node, const char *path)
{
	struct error err = { 0 };
	struct opening o = { 0 };
	struct stat st;
	const char *target;
	int r = node_stat(t, node, &st);

	if (r < 0)
		return complain_text("%s: %s", path, strerror(-r));
	if (S_ISDIR(st.st_mode))
		return complain_text("%s: is a directory; cat shows files", path);
	if (S_ISLNK(st.st_mode))
		return node_readlink(t, node, &target) < 0
			? complain_text("%s: a link that cannot be read", path)
			: complain_text("%s: a link out of the source, to '%s'", path, target);
	if (node_open(t, node, &o, &err) < 0)
		return complain(&err);
	r = cat_copy(o.data, &err);
	arena_put(o.arena);
	return r < 0 ? complain(&err) : 0;
}

static int cat_run(int argc, char **argv)
{
	static const struct syntax syntax = { OPT_FORMAT | OPT_MEMORY, 2, 2 };
	struct options o;
	struct tree *t;
	struct node *node;
	const char *path;
	int r = options_read(&cat_command, &syntax, argc, argv, &o);

	if (r >= 0)
		return r;
	r = open_tree(o.operands[0], &o, &t);
	if (r)
		return r;
	path = o.operands[1];
	while (*path == '/')
		path++; /* as it is said below a mount point */
	r = node_walk(t, path, &node);
	if (r < 0) {
		r = complain_text("%s: %s in %s", path, strerror(-r), o.operands[0]);
	} else {
		r = cat_node(t, node, path);
		node_forget(t, node, 1);
	}
	tree_free(t);
	return r;
}

const struct command cat_command = {
	.name = "cat",
	.synopsis = "[OPTION]... SOURCE PATH",
	.summary = "write one file of the tree to standard output, without mounting",
	.help = "PATH is any path that a mount of SOURCE has: tensors/NAME, npy/NAME.npy,\n"
		"metadata.json, views/safetensors/model.safetensors.\n"
		"\n"
		"  --format=NAME    SOURCE is of this format ('modelfs formats')\n"
		"  --max-ratio=N    refuse what unpacks to over N times its size (default\n"
		"                   1000, 200 in a zip; none: refuse nothing) ...\n"
		"  --max-unpacked=SIZE\n"
		"                   ... and to over SIZE (default 1GiB, 64MiB in a zip)\n"
		"  --memory=SIZE    for decoded data that is kept (default 64MiB)\n"
		"  --help           this text\n",
	.run = cat_run,
};
