/* SPDX-License-Identifier: Apache-2.0 */
/* hdf5.h - what is in an HDF5 file
 *
 * libhdf5 parses the file in a child process that can do nothing but ask for
 * the file's bytes and answer with records; they are checked here as if they
 * came from a file.  Numbers are read by us: where they lie is a range of the
 * file, chunks are decoded when they are read.
 *
 * Nothing leads out of the file: external links, external storage and virtual
 * datasets are notes.
 */
#pragma once
#include "model.h"

struct breaches;
struct build;

enum hdf5_kind { HDF5_KIND_PLAIN, HDF5_KIND_KERAS, HDF5_KIND_BAD };

struct hdf5_object { /* a group or a dataset */
	const char *path; /* without "/" in front; "" is the root */
	const struct value *attributes; /* a MAP by name; NULL: none */
};
struct hdf5_dataset {
	struct hdf5_object object;
	const char *refused;  /* why it is no tensor ("it holds records"), or NULL */
	struct tensor tensor; /* all but the name, in the arena that was given */
};
struct hdf5_alias { /* a further name of a dataset */
	const char *path;
	uint32_t dataset;
};
struct hdf5 {
	enum hdf5_kind kind;        /* of hdf5_look() */
	uint64_t *touched;          /* likewise: blocks of the file that it took to tell */
	size_t n_touched;
	struct hdf5_object *groups; /* [0] is the root */
	size_t n_groups;
	struct hdf5_dataset *datasets;
	size_t n_datasets;
	struct hdf5_alias *aliases;
	size_t n_aliases;
	const char **notes;         /* sentences about links that were not followed */
	size_t n_notes;
	size_t n_damaged;           /* things that cannot be read; a note or refused says what */
};

/* Does the file begin with HDF5's signature (after a user block that the first
 * bytes hold)? */
bool hdf5_is(const uint8_t *first, size_t n);
/* What is in it, by a look at its groups; kept for the next who asks.  BAD:
 * it cannot be opened. */
enum hdf5_kind hdf5_look(struct range file, const char *name);
/* All of it, in a.  name: for sentences. */
int hdf5_open(struct range file, const char *name, struct arena *a, struct hdf5 *ret,
	      struct error *err);

/* ---- making a model of it ---- */

struct hdf5_name {
	const char *path;
	uint32_t dataset;
};
/* The paths of everything that is a tensor, aliases too, sorted; in a. */
int hdf5_names(const struct hdf5 *h, struct arena *a, struct hdf5_name **ret, size_t *ret_n,
	       struct error *err);
/* One tensor of that dataset under that name. */
int hdf5_add(const struct hdf5 *h, const struct hdf5_name *n, const char *name,
	     uint16_t optimizer, struct build *s, struct error *err);
/* A note for each dataset that is no tensor, and the links'; what is damaged is
 * counted in the model's origin, for hdf5_check(). */
int hdf5_notes(const struct hdf5 *h, struct build *s, struct error *err);
/* The attributes as metadata: the root's own as they are but those in drop
 * (NULL ends it), below "attributes" the others' by path.  *ret NULL: none. */
int hdf5_metadata(const struct hdf5 *h, const char *const *drop, struct arena *a,
		  const struct value **ret, struct error *err);

/* Is something in it damaged?  As decoder.check. */
int hdf5_check(const struct model *m, struct breaches *b, struct error *err);

/* The child: `modelfs --hdf5-child`, with its end of a socket as fd. */
int hdf5_child_main(int fd);
