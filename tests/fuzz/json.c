/* SPDX-License-Identifier: Apache-2.0 */
/* json.c - any bytes as JSON: all events, and that skipping agrees with them */
#include <stdint.h>
#include <stdlib.h>

#include "../../cache/json.h"
#include "../../cache/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Walk all of it; is it JSON? */
static bool walk(const uint8_t *data, size_t size, bool nan)
{
	_cleanup_json_ struct json j;
	unsigned sum = 0, open = 0;
	int event;

	json_init(&j, (const char *)data, size);
	j.nan = nan;
	while ((event = json_next(&j, NULL)) > 0) {
		open += event == JSON_OBJECT || event == JSON_ARRAY;
		open -= event == JSON_OBJECT_END || event == JSON_ARRAY_END;
		if (open > JSON_DEPTH || json_at(&j) > size)
			abort();
		if (event != JSON_KEY && event != JSON_STRING && event != JSON_BIGINT)
			continue;
		for (size_t i = 0; i < j.n; i++)
			sum += (unsigned char)j.s[i];
		if (!utf8_valid(j.s, j.n))
			abort();
	}
	if (event == JSON_END && (open || json_at(&j) != size || sum == (unsigned)-1))
		abort();
	return event == JSON_END;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_json_ struct json j;
	bool whole = walk(data, size, true), skipped;
	int event;

	(void)walk(data, size, false);
	json_init(&j, (const char *)data, size);
	j.nan = true;
	event = json_next(&j, NULL);
	skipped = event > 0 && !json_skip(&j, event, NULL) && json_next(&j, NULL) == JSON_END;
	if (whole != skipped)
		abort();
	return 0;
}
