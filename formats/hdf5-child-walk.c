/* SPDX-License-Identifier: Apache-2.0 */
/* hdf5-child-walk.c - the child: groups and links, each object once
 *
 * Hard links first, by name within a group; soft links when all is known, so
 * that a dataset has the name of its own and a link is a further one.
 */
#include <string.h>
#include <unistd.h>

#include "hdf5-child.h"
#include "../cache/cleanup.h"

enum { LOOKED_AT = 2000 }; /* groups, to tell what kind of file it is */

/* ---- the walk ---- */

struct seen { /* objects by address; a hash table with room */
	haddr_t *addr; /* HADDR_UNDEF: free */
	uint32_t *what; /* a dataset's number, GROUP or DAMAGED */
	size_t n, cap;
};
enum { GROUP = UINT32_MAX, NOTHING = UINT32_MAX - 1, DAMAGED = UINT32_MAX - 2 };

struct waiting { /* a group whose links are yet to be read */
	haddr_t addr;
	uint32_t number, depth;
	char *path;
};
struct soft { /* a link that is looked at when everything was seen */
	uint32_t parent;
	char *name, *path;
};
struct walk {
	struct seen seen;
	struct waiting *stack;
	size_t n, cap;
	struct soft *softs;
	size_t n_softs, softs_cap;
};

struct link {
	char *name;
	H5L_type_t type;
	haddr_t addr;
};
struct links {
	struct link *links;
	size_t n, cap;
};

static void *grown(void *old, size_t *cap, size_t n, size_t size)
{
	if (n < *cap)
		return old;
	*cap = *cap ? *cap * 2 : 64;
	old = realloc(old, *cap * size);
	if (!old)
		_exit(3);
	return old;
}

static char *copy(const char *s)
{
	char *p = strdup(s);

	if (!p)
		_exit(3);
	return p;
}

static size_t seen_slot(const struct seen *s, haddr_t addr)
{
	size_t i = (size_t)(addr * UINT64_C(0x9e3779b97f4a7c15) >> 20) & (s->cap - 1);

	while (s->addr[i] != HADDR_UNDEF && s->addr[i] != addr)
		i = (i + 1) & (s->cap - 1);
	return i;
}

static uint32_t seen_get(const struct seen *s, haddr_t addr)
{
	size_t i = s->cap ? seen_slot(s, addr) : 0;

	return s->cap && s->addr[i] == addr ? s->what[i] : NOTHING;
}

static void seen_add(struct seen *s, haddr_t addr, uint32_t what)
{
	if (s->n * 2 >= s->cap) {
		struct seen more = { .cap = s->cap ? s->cap * 2 : 256 };

		more.addr = calloc(more.cap, sizeof *more.addr);
		more.what = calloc(more.cap, sizeof *more.what);
		if (!more.addr || !more.what)
			_exit(3);
		memset(more.addr, 0xff, more.cap * sizeof *more.addr);
		for (size_t i = 0; i < s->cap; i++)
			if (s->addr[i] != HADDR_UNDEF)
				seen_add(&more, s->addr[i], s->what[i]);
		free(s->addr);
		free(s->what);
		*s = more;
	}
	s->n += s->addr[seen_slot(s, addr)] != addr;
	s->what[seen_slot(s, addr)] = what;
	s->addr[seen_slot(s, addr)] = addr;
}

static herr_t link_found(hid_t group, const char *name, const H5L_info_t *info, void *ctx)
{
	struct links *l = ctx;

	l->links = grown(l->links, &l->cap, l->n, sizeof *l->links);
	l->links[l->n++] = (struct link){
		.name = copy(name), .type = info->type,
		.addr = info->type == H5L_TYPE_HARD ? info->u.address : HADDR_UNDEF,
	};
	return 0;
}

static int link_compare(const void *x, const void *y)
{
	return strcmp(((const struct link *)x)->name, ((const struct link *)y)->name);
}

/* The links of a group, by name; as many as can be read. */
static void links_of(hid_t group, struct links *l, const char *path)
{
	hsize_t at = 0;

	if (H5Literate(group, H5_INDEX_NAME, H5_ITER_NATIVE, &at, link_found, l) < 0)
		tell_note("group '/%s' cannot be read: %s", path, library_says());
	if (l->n)
		qsort(l->links, l->n, sizeof *l->links, link_compare);
}

static void links_free(struct links *l)
{
	for (size_t i = 0; i < l->n; i++)
		free(l->links[i].name);
	free(l->links);
	*l = (struct links){ 0 };
}

static char *path_of(const char *folder, const char *name)
{
	size_t n = strlen(folder), m = strlen(name);
	char *p;

	if (n + m + 1 > HDF5_PATH_MAX)
		tell_failed(HDF5_FAILED_LIMIT, "it has a path of %zu bytes, at most %d are read",
			    n + m + 1, HDF5_PATH_MAX);
	p = calloc(1, n + m + 2);
	if (!p)
		_exit(3);
	memcpy(p, folder, n);
	p[n] = '/';
	memcpy(p + n + (n != 0), name, m + 1);
	return p;
}

static void group_found(struct walk *w, haddr_t addr, uint32_t parent, uint32_t depth,
			const char *name, const char *path)
{
	if (depth > HDF5_DEPTH_MAX)
		tell_failed(HDF5_FAILED_LIMIT, "'%s' is in more than %d groups", path,
			    HDF5_DEPTH_MAX);
	tell_begin(HDF5_GROUP);
	tell_u32(parent);
	tell_string(name, strlen(name));
	tell_end();
	seen_add(&w->seen, addr, GROUP);
	w->stack = grown(w->stack, &w->cap, w->n, sizeof *w->stack);
	w->stack[w->n++] = (struct waiting){ addr, child.n_groups++, depth, copy(path) };
}

static void tell_alias(uint32_t parent, const char *name, uint32_t number)
{
	tell_begin(HDF5_ALIAS);
	tell_u32(parent);
	tell_string(name, strlen(name));
	tell_u32(number);
	tell_end();
}

static void tell_link(uint32_t parent, const char *name, enum hdf5_why reason, const char *text)
{
	tell_begin(HDF5_LINK);
	tell_u32(parent);
	tell_string(name, strlen(name));
	tell_u8(reason);
	tell_string(text, strlen(text));
	tell_end();
}

/* One that cannot be read is left out. */
static void dataset_found(struct walk *w, hid_t id, const struct waiting *g, const struct link *l,
			  const char *path)
{
	uint32_t number = child.n_datasets;
	jmp_buf here;

	seen_add(&w->seen, l->addr, number);
	child.local = &here;
	if (setjmp(here) == 0) {
		tell_dataset(id, g->number, l->name, path);
	} else if (child.n_datasets == number) {
		seen_add(&w->seen, l->addr, DAMAGED);
		tell_note("%s", child.failed);
	} else {
		tell_begin(HDF5_DAMAGED);
		tell_u32(number);
		tell_string(child.failed, strlen(child.failed));
		tell_end();
	}
	child.local = NULL;
}

static void hard(struct walk *w, const struct waiting *g, const struct link *l, const char *path)
{
	uint32_t what = seen_get(&w->seen, l->addr);
	H5I_type_t type;
	hid_t id;

	if (what == GROUP)
		tell_link(g->number, l->name, HDF5_LINK_GROUP, "");
	else if (what == DAMAGED)
		tell_link(g->number, l->name, HDF5_LINK_DAMAGED, "");
	else if (what != NOTHING)
		tell_alias(g->number, l->name, what);
	if (what != NOTHING)
		return;
	id = H5Oopen_by_addr(child.file, l->addr);
	type = id < 0 ? H5I_BADID : H5Iget_type(id);
	if (type == H5I_GROUP) {
		group_found(w, l->addr, g->number, g->depth + 1, l->name, path);
	} else if (type == H5I_DATASET) {
		dataset_found(w, id, g, l, path);
	} else if (type != H5I_DATATYPE) { /* a committed type is where it is used */
		seen_add(&w->seen, l->addr, DAMAGED);
		tell_note("'%s' cannot be opened: %s", path, library_says());
	}
	(void)H5Oclose(id);
}

static void external(hid_t group, const struct waiting *g, const struct link *l)
{
	char value[1024] = "", text[2200] = "";
	const char *file = "", *object = "";
	unsigned flags;

	if (H5Lget_val(group, l->name, value, sizeof value - 1, H5P_DEFAULT) >= 0 &&
	    H5Lunpack_elink_val(value, sizeof value - 1, &flags, &file, &object) >= 0)
		(void)snprintf(text, sizeof text, "%s:%s", file, object);
	tell_link(g->number, l->name, HDF5_LINK_EXTERNAL, text);
}

static void one_link(struct walk *w, hid_t group, const struct waiting *g, const struct link *l)
{
	_cleanup_free_ char *path = path_of(g->path, l->name);

	if (l->type == H5L_TYPE_HARD) {
		hard(w, g, l, path);
	} else if (l->type == H5L_TYPE_SOFT) {
		w->softs = grown(w->softs, &w->softs_cap, w->n_softs, sizeof *w->softs);
		w->softs[w->n_softs++] = (struct soft){ g->number, copy(l->name), take(&path) };
	} else if (l->type == H5L_TYPE_EXTERNAL) {
		external(group, g, l);
	} else {
		tell_link(g->number, l->name, HDF5_LINK_OTHER, "");
	}
}

static void group(struct walk *w, const struct waiting *g)
{
	hid_t id = H5Oopen_by_addr(child.file, g->addr);
	struct links l = { 0 };

	if (id < 0) {
		tell_note("group '/%s' cannot be opened: %s", g->path, library_says());
		return;
	}
	tell_attributes(id, HDF5_OF_GROUP, g->number, *g->path ? g->path : "/");
	links_of(id, &l, g->path);
	for (size_t i = 0; i < l.n; i++)
		one_link(w, id, g, &l.links[i]);
	links_free(&l);
	(void)H5Oclose(id);
}

/* Where a soft link leads, now that all is known: to a dataset, or told. */
static void soft(struct walk *w, const struct soft *s)
{
	uint32_t what = NOTHING;
	H5O_info_t info;

	if (H5Oget_info_by_name2(child.file, s->path, &info, H5O_INFO_BASIC, H5P_DEFAULT) >= 0)
		what = seen_get(&w->seen, info.addr);
	if (what == GROUP)
		tell_link(s->parent, s->name, HDF5_LINK_GROUP, "");
	else if (what == DAMAGED)
		tell_link(s->parent, s->name, HDF5_LINK_DAMAGED, "");
	else if (what == NOTHING)
		tell_link(s->parent, s->name, HDF5_LINK_DANGLING, "");
	else
		tell_alias(s->parent, s->name, what);
}

static haddr_t root_address(void)
{
	H5O_info_t info;

	if (H5Oget_info2(child.file, &info, H5O_INFO_BASIC) < 0)
		tell_failed(HDF5_FAILED_OPEN, "%s", library_says());
	return info.addr;
}

void tell_all(void)
{
	struct walk w = { 0 };

	group_found(&w, root_address(), 0, 0, "", "");
	while (w.n) {
		struct waiting g = w.stack[--w.n];

		group(&w, &g);
		free(g.path);
	}
	for (size_t i = 0; i < w.n_softs; i++)
		soft(&w, &w.softs[i]);
}

/* ---- what kind of file ---- */

/* A group of variables as Keras 3 writes it? */
static bool is_vars(hid_t group, const struct link *l)
{
	return l->type == H5L_TYPE_HARD && !strcmp(l->name, "vars") &&
	       H5Lexists(group, "vars", H5P_DEFAULT) > 0 &&
	       H5Lexists(group, "vars/0", H5P_DEFAULT) > 0;
}

static bool look_into(struct walk *w, hid_t group)
{
	struct links l = { 0 };
	bool found = false;

	links_of(group, &l, "");
	for (size_t i = 0; i < l.n && !found; i++) {
		const struct link *k = &l.links[i];
		H5O_info_t info;

		found = is_vars(group, k);
		if (found || k->type != H5L_TYPE_HARD || w->n + w->seen.n > LOOKED_AT ||
		    seen_get(&w->seen, k->addr) != NOTHING ||
		    H5Oget_info_by_name2(group, k->name, &info, H5O_INFO_BASIC, H5P_DEFAULT) < 0 ||
		    info.type != H5O_TYPE_GROUP)
			continue;
		seen_add(&w->seen, k->addr, GROUP);
		w->stack = grown(w->stack, &w->cap, w->n, sizeof *w->stack);
		w->stack[w->n++] = (struct waiting){ .addr = k->addr };
	}
	links_free(&l);
	return found;
}

enum hdf5_kind kind_of_file(void)
{
	static const char *const attributes_of_keras[] = {
		"keras_version", "model_config", "layer_names", "layer_names0", "nb_layers",
	};
	struct walk w = { 0 };
	bool found = false;

	for (size_t i = 0; i < ARRAY_SIZE(attributes_of_keras); i++)
		if (H5Aexists_by_name(child.file, "/", attributes_of_keras[i], H5P_DEFAULT) > 0)
			return HDF5_KIND_KERAS;
	if (H5Lexists(child.file, "_layer_checkpoint_dependencies", H5P_DEFAULT) > 0)
		return HDF5_KIND_KERAS;
	w.stack = grown(w.stack, &w.cap, 0, sizeof *w.stack);
	w.stack[w.n++] = (struct waiting){ .addr = root_address() };
	seen_add(&w.seen, w.stack[0].addr, GROUP);
	while (w.n && !found) {
		hid_t id = H5Oopen_by_addr(child.file, w.stack[--w.n].addr);

		if (id < 0)
			break;
		found = look_into(&w, id);
		(void)H5Oclose(id);
	}
	return found ? HDF5_KIND_KERAS : HDF5_KIND_PLAIN;
}
