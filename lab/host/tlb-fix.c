/*
 * Preloaded into QEMU on hosts that run bookworm: repairs a fault of QEMU 7.2 in the live migration of an emulated guest.
 * Reading the dirty bits clears them, but the software TLB still takes the pages for dirty, so what the guest writes
 * through an old entry is not sent again. QEMU 9.0 fixed this; hosts with that version or a later one do not load this.
 * Here the TLB entries are reset once the bits have been read: when the migration thread releases QEMU's big lock.
 * It does nothing in other programs, and nothing where QEMU does not emulate.
 *
 * QEMU's big lock is the one that its main thread takes after a ppoll that it called without that lock
 * (os_host_main_loop_wait). tlb_reset_dirty, qemu_get_cpu, qemu_mutex_iothread_locked and tcg_allowed are QEMU's own;
 * they are visible because QEMU exports its symbols to its modules.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static int (*real_lock)(pthread_mutex_t *);
static int (*real_unlock)(pthread_mutex_t *);
static int (*real_ppoll)(struct pollfd *, nfds_t, const struct timespec *, const sigset_t *);
static void *(*get_cpu)(int);
static bool (*has_big_lock)(void);
/* A range of host addresses; pages of it that are written next are marked again. */
static void (*reset_dirty)(void *, uint64_t, uint64_t);
static bool emulates;

static pthread_mutex_t *big_lock;
static __thread bool after_ppoll;
static __thread enum { UNKNOWN, MIGRATION, OTHER } thread_is;

/* Constructors of libraries lock mutexes before ours would run. */
static void find_symbols(void) {
  if (real_unlock != NULL) return;
  get_cpu = dlsym(RTLD_DEFAULT, "qemu_get_cpu");
  has_big_lock = dlsym(RTLD_DEFAULT, "qemu_mutex_iothread_locked");
  reset_dirty = dlsym(RTLD_DEFAULT, "tlb_reset_dirty");
  real_ppoll = dlsym(RTLD_NEXT, "ppoll");
  real_lock = dlsym(RTLD_NEXT, "pthread_mutex_lock");
  real_unlock = dlsym(RTLD_NEXT, "pthread_mutex_unlock");
}

int ppoll(struct pollfd *files, nfds_t count, const struct timespec *timeout, const sigset_t *signals) {
  find_symbols();
  const int ready = real_ppoll(files, count, timeout, signals);
  const bool found = reset_dirty != NULL && has_big_lock != NULL && get_cpu != NULL;
  if (found && big_lock == NULL && syscall(SYS_gettid) == getpid()) after_ppoll = !has_big_lock();
  return ready;
}

int pthread_mutex_lock(pthread_mutex_t *mutex) {
  find_symbols();
  if (after_ppoll) {
    after_ppoll = false;
    big_lock = mutex;
    const bool *allowed = dlsym(RTLD_DEFAULT, "tcg_allowed");
    emulates = allowed != NULL && *allowed;
  }
  return real_lock(mutex);
}

int pthread_mutex_unlock(pthread_mutex_t *mutex) {
  find_symbols();
  if (emulates && mutex == big_lock && thread_is != OTHER) {
    if (thread_is == UNKNOWN) {
      char name[17] = "";
      prctl(PR_GET_NAME, name);
      thread_is = strncmp(name, "live_migration", sizeof name - 1) == 0 ? MIGRATION : OTHER;
    }
    void *cpu;
    if (thread_is == MIGRATION) for (int index = 0; (cpu = get_cpu(index)) != NULL; index++) reset_dirty(cpu, 0, UINT64_MAX);
  }
  return real_unlock(mutex);
}
