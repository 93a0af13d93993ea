/* SPDX-License-Identifier: Apache-2.0 */
/* decoder.h - one format: recognise it, read its headers
 *
 * A decoder reads headers only, through ranges; no tensor data.  It keeps what
 * the way back needs in model->origin.  Formats inside formats go through
 * decode(), never through another decoder's header; readers that several need
 * (pickle, torch) are not decoders and have their own headers.
 *
 * A format is a file formats/decode/NAME.c that exports one symbol,
 * NAME_decoder, a line in formats/meson.build, a folder tests/data/NAME and a
 * page docs/format-NAME.md; the build fails where one of these is missing.
 */
#pragma once
#include "breach.h"
#include "model.h"
#include "../cache/bundle.h"
#include "../cache/error.h"

struct claim { /* these entries of a bundle are one model */
	const struct decoder *decoder;
	const char *folder;       /* "" or "sub/" */
	const char *const *names; /* full entry names; names[0] is its head (an index, a header) */
	size_t n;
	int rank;                 /* of two claims in a folder the higher is the folder's model */
	const struct claim *optimizer; /* its optimizer's file beside it (claims_find()); else NULL */
};

enum { /* ranks: what is shown at a folder's root (design.md, "What is where") */
	RANK_FILE = 10,         /* a model file of any name */
	RANK_ADAPTER = 15,      /* PEFT's adapter_model.bin, and one more of safetensors */
	RANK_BIN = 20,          /* pytorch_model.bin */
	RANK_BIN_INDEX = 21,
	RANK_SAFETENSORS = 30,  /* model.safetensors */
	RANK_INDEX = 31,        /* its index */
};

struct decoder {
	const char *name;    /* "safetensors": --format, tensors.json */
	const char *summary; /* for `modelfs formats`: "PyTorch zip checkpoints (torch.save)" */
	const char *files;   /* typical names: "*.pt *.pth *.bin *.ckpt" */
	const char *safe;    /* why reading it cannot run code: "decoded as data" */
	const char *archive; /* "zip", "tar": its files are such archives, or may end in one;
			      * any other that is one too is two things at once.  NULL: none is */
	/* Is `e` the head of a model of this format?  first [n]: its first
	 * bytes (4096 or what there is).  1 and *ret (decoder, rank, names;
	 * folder is filled in by claims()), 0, or -errno when it is
	 * unmistakably ours but bad.  Reads nothing else but names, an index,
	 * an archive's directory. */
	int (*claim)(const struct bundle *b, const struct entry *e, const uint8_t *first,
		     size_t n, struct arena *a, struct claim *ret, struct error *err);
	/* The model; (*ret)->arena has count 1, the caller's, and holds b's. */
	int (*decode)(const struct bundle *b, const struct claim *c, struct model **ret,
		      struct error *err);
	/* May be unset.  The file that a file of this name is a part of, in the
	 * same folder, told by the name alone: of "x.data-00000-of-00002" it is
	 * "x.index"; name itself where it needs its neighbours; "": the part
	 * says inside which it is, and claim() gave that one a rank over
	 * RANK_FILE; NULL: none.  The part is no model of its own where the
	 * whole is there, and as a source it stands for the whole. */
	const char *(*whole)(const char *name, struct arena *a);
	/* `modelfs check`: rules that decode() does not need, breach() for
	 * each that is broken.  May be unset. */
	int (*check)(const struct model *m, struct breaches *b, struct error *err);
};

extern const struct decoder *const decoders[]; /* in probe order; NULL ends it */
const struct decoder *decoder_find(const char *name);
/* All their names, for a sentence: borrowed until t is released. */
const char *decoder_names(struct text *t);

/* What sentences about an entry begin with: the path of a one-file source,
 * "PATH/NAME" of a folder's or an archive's.  Sentences of claim() and decode()
 * begin with it, decode() below adds nothing.  In a; never NULL. */
const char *entry_path(const struct bundle *b, const struct entry *e, struct arena *a);

/* What a decoder's claim() says of a model that is e alone: 1, or -ENOMEM and a sentence. */
int claim_alone(const struct entry *e, int rank, struct arena *a, struct claim *ret,
		struct error *err);

/* Is what lies there the pointer that Git LFS leaves of a file that was not fetched? */
bool entry_is_pointer(const struct entry *e);

/* A claim that could not be made: the entry is unmistakably of a format, but bad. */
struct refusal {
	const struct entry *entry;
	struct error error;
};
struct claims {
	const struct claim *claims; /* by folder, then rank descending, then name */
	size_t n;
	const struct refusal *refusals;
	size_t n_refusals;
};
/* All models of a bundle: claims of every decoder (or of `format` only, NULL
 * for all), weights stored twice counted once: an entry that is part of a
 * claim of higher rank makes none of its own.  In a. */
int claims_find(const struct bundle *b, const char *format, struct arena *a,
		struct claims *ret, struct error *err);
/* The model of a claim, with the optimizer that lies in a file beside it. */
int decode(const struct bundle *b, const struct claim *c, struct model **ret, struct error *err);
