/* SPDX-License-Identifier: Apache-2.0 */
/* error.h - what went wrong, as one sentence for a human
 *
 * A function that can fail returns 0 (or a positive result) or -errno, and
 * says why in *err, once, where it is noticed.  err is the caller's, may be
 * NULL, and is untouched on success.  Nothing here allocates or locks.
 */
#pragma once
#include <errno.h>

struct error {
	int code;       /* positive errno, 0 while nothing failed */
	char text[500]; /* "FILE: what was found, what is allowed" */
};

/* Fill err and return -code: `return fail(err, EBADMSG, "...", ...);`
 * EBADMSG damaged, EOPNOTSUPP valid but not for us, ESTALE the source has
 * changed, EIO the disk or the network, ENOMEM.  Control characters in the
 * sentence (a hostile name) are shown as \xNN; a longer text is cut. */
__attribute__((cold, format(printf, 3, 4)))
int fail(struct error *err, int code, const char *format, ...);

/* Put "what: " in front of the sentence of a failure that passes through
 * (a container naming its member).  Returns r: `return within(r, err, name);` */
__attribute__((cold))
int within(int r, struct error *err, const char *what);
