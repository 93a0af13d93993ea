/* SPDX-License-Identifier: Apache-2.0 */
/* hash.h - 128-bit names of bytes, for caches (XXH3; not against attackers who
 * choose both sides: keys that stay in memory are seeded per process) */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct key {
	uint64_t hi, lo;
};

/* Storage is the caller's; opaque[] holds an XXH3 state. */
struct hash {
	_Alignas(64) unsigned char opaque[576];
	bool broken; /* something without an identity was put in */
};

void hash_init(struct hash *h);
void hash_add(struct hash *h, const void *p, size_t n);
void hash_u64(struct hash *h, uint64_t v);
struct key hash_end(const struct hash *h);
/* One buffer, seeded per process: keys of memory caches. */
struct key hash_memory(const void *p, size_t n);
uint64_t hash_name(const void *p, size_t n); /* XXH64, seed 0: of file names (design.md) */
