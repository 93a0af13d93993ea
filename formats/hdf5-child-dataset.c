/* SPDX-License-Identifier: Apache-2.0 */
/* hdf5-child-dataset.c - the child: datasets, their types, chunks and strings
 *
 * Tensors' bytes are never read, but for strings and compact datasets.  To
 * learn where a chunk is, the library is asked to read it while the driver only
 * notes the address: the other ways to ask are linear in the number of chunks.
 */
#include <string.h>

#include "hdf5-child.h"
#include "../cache/cleanup.h"

enum {
	PIECE = 256 << 10,     /* strings in one record */
	BATCH = 1024,          /* strings read at a time */
	STRINGS = 16 << 20,    /* bytes of one dataset's */
	STRINGS_COUNT = 1 << 22,
	GRID = 1 << 20,        /* places for chunks that are all looked at */
	FEW = 2000,            /* chunks that are asked for one by one otherwise */
	VALUES = 256,          /* parameters of a filter: the library gives no more */
};

/* ---- types ---- */

static void tell_type(hid_t t, unsigned depth, const char *path);

__attribute__((noreturn))
static void type_failed(const char *path)
{
	tell_failed(HDF5_FAILED_OBJECT, "'%s' has a type that cannot be read: %s", path,
		    library_says());
}

static void tell_members(hid_t t, bool is_enum, unsigned depth, const char *path)
{
	int n = H5Tget_nmembers(t);
	hid_t base = is_enum ? H5Tget_super(t) : -1;
	size_t size = is_enum ? H5Tget_size(base) : 0;
	_cleanup_free_ uint8_t *value = calloc(1, size + 8);

	if (n < 0 || (is_enum && base < 0) || !value)
		type_failed(path);
	if (is_enum)
		tell_type(base, depth + 1, path);
	tell_u32((uint64_t)n);
	for (unsigned i = 0; i < (unsigned)n && i < HDF5_MEMBERS; i++) {
		char *name = H5Tget_member_name(t, i);

		if (!name)
			type_failed(path);
		tell_string(name, strlen(name));
		(void)H5free_memory(name);
		if (is_enum) {
			if (H5Tget_member_value(t, i, value) < 0)
				type_failed(path);
			tell_u64(size <= 8 ? get_le(value, (unsigned)size) : 0);
		} else {
			hid_t m = H5Tget_member_type(t, i);

			tell_u32(H5Tget_member_offset(t, i));
			tell_type(m, depth + 1, path);
			(void)H5Tclose(m);
		}
	}
	if (is_enum)
		(void)H5Tclose(base);
}

static void tell_float(hid_t t)
{
	size_t f[5] = { 0 };
	H5T_norm_t norm = H5Tget_norm(t);

	(void)H5Tget_fields(t, &f[0], &f[1], &f[2], &f[3], &f[4]);
	for (int i = 0; i < 5; i++)
		tell_u32(f[i]);
	tell_u64(H5Tget_ebias(t));
	tell_u8(norm == H5T_NORM_IMPLIED ? 0 : norm == H5T_NORM_NONE ? 1 : 2);
}

static void tell_order(hid_t t)
{
	H5T_order_t o = H5Tget_order(t);

	tell_u8(o == H5T_ORDER_LE || o == H5T_ORDER_NONE ? HDF5_LITTLE
	       : o == H5T_ORDER_BE ? HDF5_BIG : HDF5_OTHER);
	tell_u32(H5Tget_precision(t));
	tell_u32((uint64_t)H5Tget_offset(t));
}

static void tell_array(hid_t t, unsigned depth, const char *path)
{
	hsize_t dims[HDF5_DIMS_MAX] = { 0 };
	int n = H5Tget_array_ndims(t);
	hid_t base = H5Tget_super(t);

	if (n < 0 || n > HDF5_DIMS_MAX || base < 0 || H5Tget_array_dims2(t, dims) < 0)
		type_failed(path);
	tell_u8((unsigned)n);
	for (int i = 0; i < n; i++)
		tell_u64(dims[i]);
	tell_type(base, depth + 1, path);
	(void)H5Tclose(base);
}

/* The type as hdf5_type_read() takes it. */
static void tell_type(hid_t t, unsigned depth, const char *path)
{
	H5T_class_t class = t < 0 ? H5T_NO_CLASS : H5Tget_class(t);
	char *tag;

	if (class < 0 || class >= (int)HDF5_CLASSES)
		type_failed(path);
	if (depth > HDF5_TYPE_DEPTH)
		tell_failed(HDF5_FAILED_LIMIT, "'%s' has types more than %d deep in each other",
			    path, HDF5_TYPE_DEPTH);
	tell_u8((unsigned)class);
	tell_u32(H5Tget_size(t));
	switch (class) {
	case H5T_INTEGER:
	case H5T_BITFIELD:
		tell_order(t);
		tell_u8(class == H5T_INTEGER && H5Tget_sign(t) == H5T_SGN_2);
		break;
	case H5T_FLOAT:
		tell_order(t);
		tell_float(t);
		break;
	case H5T_STRING:
		tell_u8(H5Tis_variable_str(t) > 0);
		break;
	case H5T_OPAQUE:
		tag = H5Tget_tag(t);
		tell_string(tag ? tag : "", tag ? strlen(tag) : 0);
		(void)H5free_memory(tag);
		break;
	case H5T_COMPOUND:
	case H5T_ENUM:
		tell_members(t, class == H5T_ENUM, depth, path);
		break;
	case H5T_ARRAY:
		tell_array(t, depth, path);
		break;
	default: /* the class says it all */
		break;
	}
}

/* ---- datasets ---- */

struct dataset {
	hid_t id, type, space, plist;
	H5T_class_t class;
	const char *path;
	uint32_t number;
	int ndim;
	hsize_t dims[HDF5_DIMS_MAX], chunk[HDF5_DIMS_MAX];
	uint64_t elements;   /* UINT64_MAX: more than that */
	int layout;
	unsigned filters;
	bool plain_edges;    /* chunks that reach past the shape are not filtered */
};

/* Could it be numbers?  Then where they are is told. */
static bool is_numbers(hid_t t, unsigned depth)
{
	hid_t base;
	bool is;

	switch (H5Tget_class(t)) {
	case H5T_INTEGER:
	case H5T_FLOAT:
	case H5T_BITFIELD:
	case H5T_ENUM:
	case H5T_OPAQUE:
		return true;
	case H5T_COMPOUND: /* complex numbers */
		return H5Tget_nmembers(t) == 2;
	case H5T_ARRAY:
		base = H5Tget_super(t);
		is = depth < HDF5_TYPE_DEPTH && is_numbers(base, depth + 1);
		(void)H5Tclose(base);
		return is;
	default:
		return false;
	}
}

static bool is_edge(const struct dataset *d, const hsize_t *at)
{
	for (int k = 0; k < d->ndim; k++)
		if (d->chunk[k] > d->dims[k] - at[k])
			return true;
	return false;
}

/* The chunk at these coordinates, if it was written. */
static bool tell_chunk(const struct dataset *d, uint64_t number, const hsize_t *at, bool sure)
{
	hsize_t bytes = 0;
	uint32_t mask = 0;
	uint8_t nothing;
	herr_t r;

	if (!sure && (H5Dget_chunk_storage_size(d->id, at, &bytes) < 0 || !bytes))
		return false;
	child.noting = true;
	child.noted = 0;
	r = H5Dread_chunk(d->id, H5P_DEFAULT, at, &mask, &nothing);
	child.noting = false;
	if (r < 0 && sure)
		return tell_chunk(d, number, at, false);
	if (r < 0 || child.noted != 1)
		tell_failed(HDF5_FAILED_OBJECT, "chunk %llu of '%s' cannot be found: %s",
			(unsigned long long)number, d->path, library_says());
	if (++child.chunks > HDF5_CHUNKS_MAX)
		tell_failed(HDF5_FAILED_LIMIT, "it has more than %d chunks", HDF5_CHUNKS_MAX);
	tell_u64(number);
	tell_u64(child.noted_at);
	tell_u32(child.noted_size);
	tell_u32(d->plain_edges && is_edge(d, at) ? UINT32_MAX : mask);
	return true;
}

static void chunks_begin(const struct dataset *d)
{
	tell_begin(HDF5_CHUNKS);
	tell_u32(d->number);
}

/* All places of the grid in order, until n were found. */
static void chunks_by_place(const struct dataset *d, const uint64_t *grid, uint64_t places,
			    uint64_t n)
{
	uint64_t at[HDF5_DIMS_MAX] = { 0 };
	hsize_t offset[HDF5_DIMS_MAX] = { 0 };
	uint64_t found = 0;

	chunks_begin(d);
	for (uint64_t i = 0; i < places && found < n; i++) {
		found += tell_chunk(d, i, offset, n == places);
		if (child.n - child.start >= TELL_AT_ONCE) {
			tell_end();
			chunks_begin(d);
		}
		for (int k = d->ndim; k-- > 0;) {
			if (++at[k] < grid[k]) {
				offset[k] = at[k] * d->chunk[k];
				break;
			}
			at[k] = offset[k] = 0;
		}
	}
	tell_end();
}

/* The n chunks as the index has them: few in a large grid.  The parent sorts. */
static void chunks_by_index(const struct dataset *d, const uint64_t *grid, uint64_t n)
{
	hsize_t offset[HDF5_DIMS_MAX] = { 0 }, bytes;
	haddr_t addr;
	unsigned mask;

	chunks_begin(d);
	for (hsize_t i = 0; i < n; i++) {
		uint64_t number = 0;

		if (H5Dget_chunk_info(d->id, d->space, i, offset, &mask, &addr, &bytes) < 0)
			tell_failed(HDF5_FAILED_OBJECT, "chunk %llu of '%s' cannot be found: %s",
				(unsigned long long)i, d->path, library_says());
		for (int k = 0; k < d->ndim; k++)
			number = number * grid[k] + offset[k] / d->chunk[k];
		(void)tell_chunk(d, number, offset, true);
	}
	tell_end();
}

/* Whether the chunks can be listed is decided before the dataset is told. */
static bool chunks_plan(const struct dataset *d, uint64_t *grid, uint64_t *ret_places,
			hsize_t *ret_n)
{
	uint64_t places = 1;

	*ret_n = *ret_places = 0;
	for (int k = 0; k < d->ndim; k++) {
		if (!d->chunk[k])
			tell_failed(HDF5_FAILED_OBJECT, "'%s' has chunks of no elements", d->path);
		grid[k] = d->dims[k] / d->chunk[k] + (d->dims[k] % d->chunk[k] != 0);
		if (!grid[k])
			return true;
		if (__builtin_mul_overflow(places, grid[k], &places))
			places = UINT64_MAX;
	}
	*ret_places = places;
	if (H5Dget_num_chunks(d->id, d->space, ret_n) < 0)
		tell_failed(HDF5_FAILED_OBJECT, "the chunks of '%s' cannot be listed: %s", d->path,
			    library_says());
	if (*ret_n > HDF5_CHUNKS_MAX)
		tell_failed(HDF5_FAILED_LIMIT, "'%s' has %llu chunks, at most %d are read", d->path,
			(unsigned long long)*ret_n, HDF5_CHUNKS_MAX);
	return places <= GRID || *ret_n <= FEW || places / 64 <= *ret_n;
}

static void chunks(const struct dataset *d, const uint64_t *grid, uint64_t places, hsize_t n)
{
	if (!n)
		return;
	if (places <= GRID || places / 64 <= n)
		chunks_by_place(d, grid, places, n);
	else
		chunks_by_index(d, grid, n);
}

/* n strings from element `first` on, of the memory type m.  False: over the bound. */
static bool strings_batch(const struct dataset *d, hid_t m, uint64_t first, hsize_t n,
			  uint8_t *buf, size_t size, uint64_t *total)
{
	bool variable = H5Tis_variable_str(m) > 0;
	hid_t part = H5Scopy(d->space), flat = H5Screate_simple(1, &n, NULL);
	hsize_t at[HDF5_DIMS_MAX] = { 0 }, count[HDF5_DIMS_MAX];
	H5T_str_t pad = H5Tget_strpad(m);
	bool fits = true;

	/* Rows of the last dimension, or a part of one: first and n were chosen so. */
	for (int k = d->ndim; k-- > 0;) {
		at[k] = first % d->dims[k];
		first /= d->dims[k];
		count[k] = k == d->ndim - 1 ? n : 1;
	}
	if (part < 0 || flat < 0 ||
	    (d->ndim && H5Sselect_hyperslab(part, H5S_SELECT_SET, at, NULL, count, NULL) < 0) ||
	    H5Dread(d->id, m, flat, part, H5P_DEFAULT, buf) < 0)
		tell_failed(HDF5_FAILED_OBJECT, "the strings of '%s' cannot be read: %s", d->path,
			    library_says());
	for (hsize_t i = 0; i < n && fits; i++) {
		const char *s = (const char *)buf + i * size;
		size_t length;

		if (variable)
			memcpy(&s, buf + i * size, sizeof s);
		length = variable ? s ? strlen(s) : 0 : fixed_size(s, size, pad);
		*total += length;
		fits = *total <= STRINGS;
		if (fits)
			tell_string(s, length);
	}
	if (variable)
		(void)H5Dvlen_reclaim(m, flat, H5P_DEFAULT, buf);
	(void)H5Sclose(part);
	(void)H5Sclose(flat);
	return fits;
}

static void strings_begin(const struct dataset *d)
{
	tell_begin(HDF5_STRINGS);
	tell_u32(d->number);
}

static void strings(const struct dataset *d)
{
	hid_t m = H5Tcopy(d->type);
	size_t size = H5Tget_size(m);
	uint64_t row = d->ndim ? d->dims[d->ndim - 1] : 1, total = 0;
	_cleanup_free_ uint8_t *buf = calloc(BATCH, size);
	bool fits = true;

	if (m < 0 || !buf)
		tell_failed(HDF5_FAILED_MEMORY, "no memory for the strings of '%s'", d->path);
	strings_begin(d);
	for (uint64_t i = 0; i < d->elements && fits;) {
		uint64_t n = row - i % row;

		n = n < BATCH ? n : BATCH;
		fits = strings_batch(d, m, i, n, buf, size, &total);
		i += n;
		if (child.n - child.start >= PIECE) {
			tell_end();
			strings_begin(d);
		}
	}
	tell_end();
	if (!fits) {
		tell_begin(HDF5_TOO_LONG);
		tell_u32(d->number);
		tell_end();
	}
	(void)H5Tclose(m);
}

/* Are the strings few and short enough to be read, and their filters known? */
static bool strings_fit(const struct dataset *d, unsigned *flags)
{
	bool variable = H5Tis_variable_str(d->type) > 0;
	uint64_t size = H5Tget_size(d->type), bytes;

	for (unsigned i = 0; i < d->filters; i++) {
		size_t none = 0;
		unsigned flag, info;
		H5Z_filter_t f = H5Pget_filter2(d->plist, i, &flag, &none, NULL, 0, NULL, &info);

		if (H5Zfilter_avail(f) <= 0)
			return false; /* the parent names it */
	}
	if (d->elements <= STRINGS_COUNT && size <= HDF5_TYPE_MAX &&
	    (variable || !__builtin_mul_overflow(d->elements, size, &bytes)))
		return true;
	*flags |= HDF5_LONG;
	return false;
}

static void tell_filters(const struct dataset *d)
{
	tell_u8(d->filters);
	for (unsigned i = 0; i < d->filters; i++) {
		unsigned v[VALUES] = { 0 }, flags = 0, info;
		char name[64] = "";
		size_t n = VALUES;
		H5Z_filter_t f = H5Pget_filter2(d->plist, i, &flags, &n, v, sizeof name, name,
						&info);

		n = n < VALUES ? n : VALUES;
		if (f < 0)
			tell_failed(HDF5_FAILED_OBJECT, "filter %u of '%s' cannot be read: %s", i,
				    d->path, library_says());
		tell_u32((uint64_t)f);
		tell_u8((flags & H5Z_FLAG_OPTIONAL) != 0);
		tell_string(name, strnlen(name, sizeof name));
		tell_u32(n);
		for (size_t k = 0; k < n; k++)
			tell_u32(v[k]);
	}
}

/* The fill value as an element of the file, if one is set. */
static void tell_fill(const struct dataset *d, bool numbers)
{
	size_t size = H5Tget_size(d->type);
	H5D_fill_value_t is = H5D_FILL_VALUE_UNDEFINED;
	_cleanup_free_ uint8_t *v = NULL;

	if (numbers && size <= HDF5_TYPE_MAX && H5Pfill_value_defined(d->plist, &is) >= 0 &&
	    is == H5D_FILL_VALUE_USER_DEFINED) {
		v = calloc(1, size);
		if (!v || H5Pget_fill_value(d->plist, d->type, v) < 0)
			tell_failed(HDF5_FAILED_OBJECT, "the fill value of '%s' cannot be read: %s",
				d->path, library_says());
	}
	tell_string((const char *)v, v ? size : 0);
}

static void tell_compact(const struct dataset *d, bool numbers)
{
	uint64_t size = H5Tget_size(d->type), bytes = 0;
	_cleanup_free_ uint8_t *v = NULL;

	if (numbers && !__builtin_mul_overflow(d->elements, size, &bytes) &&
	    bytes <= HDF5_TYPE_MAX) {
		v = calloc(1, bytes + 1);
		if (!v || H5Dread(d->id, d->type, H5S_ALL, H5S_ALL, H5P_DEFAULT, v) < 0)
			tell_failed(HDF5_FAILED_OBJECT, "'%s' cannot be read: %s", d->path,
				    library_says());
	}
	tell_string((const char *)v, v ? (size_t)bytes : 0);
}

static void dataset_layout(struct dataset *d)
{
	H5D_layout_t l = H5Pget_layout(d->plist);
	int n = H5Pget_nfilters(d->plist);
	unsigned options = 0;

	d->layout = l == H5D_COMPACT ? HDF5_COMPACT : l == H5D_CONTIGUOUS ? HDF5_CONTIGUOUS
		  : l == H5D_CHUNKED ? HDF5_CHUNKED : l == H5D_VIRTUAL ? HDF5_VIRTUAL : -1;
	if (d->layout == HDF5_CONTIGUOUS && H5Pget_external_count(d->plist) > 0)
		d->layout = HDF5_EXTERNAL;
	if (d->layout < 0 || n < 0 || n > HDF5_FILTERS_MAX)
		tell_failed(HDF5_FAILED_OBJECT, "the layout of '%s' cannot be read: %s", d->path,
			    library_says());
	d->filters = (unsigned)n;
	if (d->layout == HDF5_CHUNKED && H5Pget_chunk(d->plist, HDF5_DIMS_MAX, d->chunk) != d->ndim)
		tell_failed(HDF5_FAILED_OBJECT, "the chunks of '%s' cannot be read: %s", d->path,
			    library_says());
	if (d->layout == HDF5_CHUNKED && H5Pget_chunk_opts(d->plist, &options) >= 0)
		d->plain_edges = options & H5D_CHUNK_DONT_FILTER_PARTIAL_CHUNKS;
}

static void dataset_shape(struct dataset *d, unsigned *flags)
{
	H5S_class_t class = H5Sget_simple_extent_type(d->space);

	d->ndim = H5Sget_simple_extent_ndims(d->space);
	if (class == H5S_NO_CLASS || d->ndim < 0 || d->ndim > HDF5_DIMS_MAX ||
	    H5Sget_simple_extent_dims(d->space, d->dims, NULL) < 0)
		tell_failed(HDF5_FAILED_OBJECT, "the shape of '%s' cannot be read: %s", d->path,
			    library_says());
	if (class == H5S_NULL)
		*flags |= HDF5_NULL;
	d->elements = class != H5S_NULL;
	for (int k = 0; k < d->ndim; k++)
		if (__builtin_mul_overflow(d->elements, d->dims[k], &d->elements))
			d->elements = UINT64_MAX;
}

/* Where a contiguous dataset is; the library adds a user block to no address, too. */
static uint64_t dataset_address(const struct dataset *d)
{
	H5D_space_status_t status;

	if (H5Dget_space_status(d->id, &status) < 0)
		tell_failed(HDF5_FAILED_OBJECT, "the layout of '%s' cannot be read: %s", d->path,
			    library_says());
	return status == H5D_SPACE_STATUS_NOT_ALLOCATED ? UINT64_MAX : H5Dget_offset(d->id);
}

static void tell_head(const struct dataset *d, uint32_t parent, const char *name, unsigned flags,
		      bool numbers)
{
	tell_begin(HDF5_DATASET);
	tell_u32(parent);
	tell_string(name, strlen(name));
	tell_u8((unsigned)d->layout);
	tell_u8(flags);
	tell_u8((unsigned)d->ndim);
	for (int k = 0; k < d->ndim; k++)
		tell_u64(d->dims[k]);
	tell_type(d->type, 0, d->path);
	tell_filters(d);
	tell_fill(d, numbers);
	if (d->layout == HDF5_CONTIGUOUS)
		tell_u64(dataset_address(d));
	else if (d->layout == HDF5_COMPACT)
		tell_compact(d, numbers);
	for (int k = 0; d->layout == HDF5_CHUNKED && k < d->ndim; k++)
		tell_u64(d->chunk[k]);
	tell_end();
}

void tell_dataset(hid_t id, uint32_t parent, const char *name, const char *path)
{
	struct dataset d = { .id = id, .path = path, .number = child.n_datasets };
	uint64_t grid[HDF5_DIMS_MAX], places = 0;
	bool numbers, texts = false;
	unsigned flags = 0;
	hsize_t n = 0;

	d.type = H5Dget_type(id);
	d.space = H5Dget_space(id);
	d.plist = H5Dget_create_plist(id);
	if (d.type < 0 || d.space < 0 || d.plist < 0)
		tell_failed(HDF5_FAILED_OBJECT, "'%s' cannot be read: %s", path, library_says());
	d.class = H5Tget_class(d.type);
	dataset_shape(&d, &flags);
	dataset_layout(&d);
	numbers = is_numbers(d.type, 0) && !(flags & HDF5_NULL);
	if (numbers)
		flags |= HDF5_LISTED;
	if (numbers && d.layout == HDF5_CHUNKED && !chunks_plan(&d, grid, &places, &n))
		flags = (flags & ~(unsigned)HDF5_LISTED) | HDF5_SPARSE;
	if (d.class == H5T_STRING && !(flags & HDF5_NULL) && d.layout <= HDF5_CHUNKED)
		texts = strings_fit(&d, &flags);
	if (texts)
		flags |= HDF5_LISTED;
	tell_head(&d, parent, name, flags, numbers);
	child.n_datasets++;
	if (numbers && d.layout == HDF5_CHUNKED && (flags & HDF5_LISTED))
		chunks(&d, grid, places, n);
	if (texts)
		strings(&d);
	tell_attributes(id, HDF5_OF_DATASET, d.number, path);
	(void)H5Pclose(d.plist);
	(void)H5Sclose(d.space);
	(void)H5Tclose(d.type);
}
