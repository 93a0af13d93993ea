/* SPDX-License-Identifier: Apache-2.0 */
/* zip.h - a zip's directory, read by our own walker because offsets matter
 *
 * What a bundle does not say about a member.  zip_container in bundle.h's list
 * is built on this.
 *
 * Strict where readers differ: names in the directory and before the data are
 * equal, nothing overlaps, no member is there twice, encrypted, on another disk
 * or outside the archive, and nothing follows the end record.  CRCs are not
 * looked at (torch does not either).  Members that are packed in a way we do
 * not have are listed; reading them is EOPNOTSUPP.
 */
#pragma once
#include "bundle.h"
#include "stream.h"

extern const struct container zip_container;

struct zip_member { /* b->private of a zip bundle: one for each entry, same order */
	const char *name;  /* as it is in the archive */
	uint64_t header;   /* offset of the local header in b->packed */
	uint64_t data;     /* offset of its (possibly compressed) bytes */
	uint64_t packed, size;
	uint32_t crc;
	uint16_t method;   /* 0 stored, 8 deflated, others: stream.h */
	uint16_t flags;
};
/* The archive as zip_container opens it, but the names of its members need not be
 * paths ("../x", "a//b", a file that is another's folder): entries are called by
 * their numbers in the order of the archive, "000000" and on.  For formats in
 * which the name of a member is data. */
int zip_open_numbered(struct range data, const char *name, struct arena *hold,
		      struct bundle **ret, struct error *err);
/* The member behind entry e of a zip bundle. */
const struct zip_member *zip_member(const struct bundle *b, const struct entry *e);
/* A deflated member that is over these is taken for a bomb and its archive
 * refused: 200, as 1032 is what deflate can do at most, and 64 MiB. */
extern struct limits zip_limits;
/* Does data begin with a local header or is it an empty zip?  Cheap: first bytes. */
bool zip_is(const uint8_t *first, size_t n);
