/*
 * fuzz_rules.c
 *	  The model of rules_model.h with a fuzzer for its chance: each byte is one
 *	  choice, and a wrong value served is a crash.
 */
#include "rules_model.h"

int			LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint8_t *next;
static const uint8_t *end;

static uint32
chosen(uint32 n)
{
	return next < end ? *next++ % n : 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static World w;
	Tally		tally = {0};

	next = data;
	end = data + size;
	begin_world(&w, chosen, UINT64CONST(0x1fffffff0), &tally);
	while (next < end && step_world(&w))
		if (tally.wrong > 0)
			abort();
	return 0;
}
