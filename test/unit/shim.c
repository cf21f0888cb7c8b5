/*
 * shim.c
 *	  The few symbols of the server that the store needs, for unit tests.
 *
 * LWLocks become pthread locks, so that tests may use threads as backends.
 * The caller of pgcache_store_create provides them as zeroed memory.
 */
#include "postgres.h"

#include <pthread.h>

#include "storage/lwlock.h"

/* An LWLock is a pthread lock in the same memory, all zero to begin with. */
StaticAssertDecl(sizeof(LWLockPadded) >= sizeof(pthread_rwlock_t),
				 "a pthread lock fits into an LWLock");

static __thread int held = 0;

static pthread_rwlock_t *
lock_for(LWLock *lock)
{
	return (pthread_rwlock_t *) lock;
}

bool
LWLockAcquire(LWLock *lock, LWLockMode mode)
{
	pthread_rwlock_t *l = lock_for(lock);

	/* A partition's lock, then the pool's: no deeper. */
	if (++held > 2)
		abort();
	if (mode == LW_SHARED)
		pthread_rwlock_rdlock(l);
	else
		pthread_rwlock_wrlock(l);
	return true;
}

bool
LWLockConditionalAcquire(LWLock *lock, LWLockMode mode)
{
	pthread_rwlock_t *l = lock_for(lock);
	int			rc = mode == LW_SHARED ? pthread_rwlock_tryrdlock(l) :
		pthread_rwlock_trywrlock(l);

	if (rc == 0)
		held++;
	return rc == 0;
}

void
LWLockRelease(LWLock *lock)
{
	held--;
	pthread_rwlock_unlock(lock_for(lock));
}

/* PG 16 left out the type of the error, which was always the same. */
#if PG_VERSION_NUM >= 160000
void
ExceptionalCondition(const char *conditionName,
					 const char *fileName, int lineNumber)
#else
void
ExceptionalCondition(const char *conditionName, const char *errorType,
					 const char *fileName, int lineNumber)
#endif
{
	fprintf(stderr, "failed assertion: %s, %s:%d\n", conditionName, fileName, lineNumber);
	abort();
}

/* Reports end the program: the store raises PANIC only. */
bool
errstart(int elevel, const char *domain)
{
	return true;
}

bool
errstart_cold(int elevel, const char *domain)
{
	return true;
}

int
errmsg_internal(const char *fmt,...)
{
	va_list		args;

	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fputc('\n', stderr);
	return 0;
}

void
errfinish(const char *filename, int lineno, const char *funcname)
{
	fprintf(stderr, "raised in %s, %s:%d\n", funcname, filename, lineno);
	abort();
}
