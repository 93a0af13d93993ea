/* SPDX-License-Identifier: Apache-2.0 */
/* hdf5-child.h - what the parts of the HDF5 child share
 *
 *     hdf5-child.c          talking to the parent, libhdf5's driver, giving up
 *                           what could do harm
 *     hdf5-child-walk.c     groups and links; what kind of file it is
 *     hdf5-child-dataset.c  datasets: types, layouts, chunks, strings
 *     hdf5-child-value.c    attributes
 *     hdf5-child-newer.c    headers that newer libraries wrote
 *
 * The process does one thing and ends, so its state is the process's: libhdf5
 * calls back without a context.  Whatever goes wrong ends it, or leaves out the
 * object that is being read (tell_failed()), so nothing here returns an error.
 */
#pragma once
#define H5_USE_110_API /* of newer libraries, too: links have addresses */
#include <hdf5.h>
#include <setjmp.h>
#include "hdf5-private.h"

/* The cache of the file: blocks, and how many places each of them may have. */
enum { HDF5_BLOCKS = 4096, HDF5_WAYS = 4 };

struct hdf5_child {
	int fd;
	uint64_t size;        /* of the file */
	hid_t file;

	bool opened;          /* the driver gives out one file only */
	bool noting;          /* raw reads are noted, not done */
	unsigned noted;       /* how many since then, */
	uint64_t noted_at;    /* and the last one */
	size_t noted_size;
	uint8_t *blocks;      /* of the file, as they were asked for */
	uint64_t *block;      /* number + 1 of the block that is there; 0: none */
	bool *used;           /* was it needed, or only read ahead? */
	uint8_t turn[HDF5_BLOCKS / HDF5_WAYS]; /* which of a block's places is next */
	uint8_t *answer;      /* the parent's to a read */
	uint64_t last;        /* block read last, */
	size_t run;           /* and how many were read with it */

	uint8_t *out;         /* records not yet sent */
	size_t n, cap, start; /* start: of the record being written */
	bool writing;         /* one is */
	bool overflow;        /* a value grew over its bound */
	size_t bound;         /* where it would be, in out; 0: none */

	uint32_t n_groups, n_datasets;
	uint64_t attributes;  /* bytes told so far */
	uint64_t chunks;
	char why[256];        /* the library's own words */
	jmp_buf *local;       /* tell_failed() goes there, but for the want of memory; NULL: */
	char failed[HDF5_NOTE_MAX]; /* it ends.  What it said */
};
extern struct hdf5_child child;

enum { TELL_AT_ONCE = 64 << 10 }; /* records are gathered up to this */

/* A record: begin, its parts, end. */
void tell_begin(enum hdf5_frame kind);
void tell_end(void);
void tell_dropped(void); /* instead of the end: the record is not told */
void tell_bytes(const void *p, size_t n);
void tell_u8(unsigned v);
void tell_u32(uint64_t v);
void tell_u64(uint64_t v);
void tell_string(const char *s, size_t n);

/* Something of the file cannot be read, and the rest is. */
__attribute__((format(printf, 1, 2)))
void tell_note(const char *format, ...);
/* Give up the object that is being read (child.local), or tell the parent that
 * it failed (HDF5_FAILED_...), and end.  Never below a call of the library. */
__attribute__((noreturn, format(printf, 2, 3)))
void tell_failed(int how, const char *format, ...);
/* What the library has to say about its failure. */
const char *library_says(void);

/* The library reads size bytes of metadata at addr, which are in buf: change what
 * it is too old for.  get() reads more. */
void newer_read(uint64_t addr, size_t size, uint8_t *buf, bool (*get)(uint64_t, size_t, uint8_t *));

/* All of the file; what kind of file it is. */
void tell_all(void);
enum hdf5_kind kind_of_file(void);
/* A dataset that was found as `name` in group `parent`, and all of it. */
void tell_dataset(hid_t id, uint32_t parent, const char *name, const char *path);
/* The attributes of a group or a dataset. */
void tell_attributes(hid_t object, unsigned of, uint32_t number, const char *path);
/* The bytes of a string of fixed length without what fills it up. */
size_t fixed_size(const char *s, size_t size, H5T_str_t pad);
