/* SPDX-License-Identifier: Apache-2.0 */
/* pytorch.c - checkpoints of torch.save() since 1.6, and Hugging Face's .bin
 *
 * The layout of the zip is drawn in torch-file.c.  An index
 * (pytorch_model.bin.index.json) makes one model of its shards, which may be
 * zips or older files.
 */
#include <string.h>

#include "../decoder.h"
#include "../shards.h"
#include "../torch.h"
#include "../../cache/arena.h"
#include "../../cache/bytes.h"
#include "../../cache/zip.h"

static int pytorch_no_memory(const struct entry *e, struct error *err)
{
	return fail(err, ENOMEM, "%s: no memory", e->name);
}

/* The first name in a zip, which torch makes "archive/data.pkl": then the file
 * is ours even where its directory is bad or missing. */
static bool pytorch_begins(const uint8_t *first, size_t n)
{
	static const char tail[] = "/data.pkl";
	size_t len, k = sizeof tail - 1;

	if (n < 30)
		return false;
	len = (size_t)get_le(first + 26, 2);
	return len > k && len <= n - 30 && memcmp(first + 30 + len - k, tail, k) == 0;
}

static int pytorch_claim_index(const struct bundle *b, const struct entry *e, struct arena *a,
			       struct claim *ret, struct error *err)
{
	struct shards s;
	const char **names;
	int r = shards_read(b, e, a, &s, err);

	if (r < 0)
		return within(r, err, b->path);
	names = arena_array(a, s.n + 1, sizeof *names);
	if (!names)
		return pytorch_no_memory(e, err);
	names[0] = e->name;
	for (size_t i = 0; i < s.n; i++)
		names[i + 1] = s.shards[i]->name;
	ret->names = names;
	ret->n = s.n + 1;
	ret->rank = torch_rank(e->name);
	return 1;
}

/* Is the inside of the zip torch's? */
static int pytorch_zip(const struct bundle *b, const struct entry *e, const uint8_t *first,
		       size_t n, struct arena *a, struct error *err)
{
	struct error why = { 0 };
	struct bundle *zip;
	size_t prefix;
	int r = zip_container.open(e->data, entry_path(b, e, a), b->arena, &zip, &why);

	if (r < 0 && r != -ENOMEM && !pytorch_begins(first, n))
		return 0; /* a bad zip, but of what? */
	if (r < 0)
		return fail(err, why.code, "%s", why.text);
	if (r == 0)
		return 0;
	r = torch_zip_is(zip, TORCH_SAVE, &prefix) != NULL;
	(void)arena_put(zip->arena);
	return r;
}

static int pytorch_claim(const struct bundle *b, const struct entry *e, const uint8_t *first,
			 size_t n, struct arena *a, struct claim *ret, struct error *err)
{
	int r;

	if (shards_is_index(e->name, "bin"))
		return pytorch_claim_index(b, e, a, ret, err);
	if (!zip_is(first, n))
		return 0;
	r = pytorch_zip(b, e, first, n, a, err);
	if (r <= 0)
		return r;
	return claim_alone(e, torch_rank(e->name), a, ret, err);
}

static int pytorch_check(const struct model *m, struct breaches *b, struct error *err)
{
	return torch_zip_check(m, TORCH_SAVE, b, err);
}

const struct decoder pytorch_decoder = {
	.name = "pytorch",
	.summary = "PyTorch checkpoints (torch.save), and Hugging Face's .bin",
	.files = "*.pt *.pth *.bin *.ckpt pytorch_model.bin.index.json",
	.safe = "the pickle is decoded as data, nothing in it is run",
	.archive = "zip",
	.claim = pytorch_claim,
	.decode = torch_model,
	.check = pytorch_check,
};
