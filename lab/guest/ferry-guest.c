/*
 * The only program of a lab guest: it is the guest's init. It loads the virtio modules, gives the network card its address, prints a
 * counter on the serial line and runs one workload (none, memory that keeps changing, or numbered disk records).
 *
 * It is not a test of anything by itself: what it writes is judged from outside, by the serial log and by lab/src/disk-check.ts, which
 * knows the same record layout. A live migrated guest does not know where it runs, so a record names the host of the boot only; two
 * running copies of one guest are found because every record is chained to the one before it and because the writer looks at the disk
 * before it writes.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <libgen.h>
#include <linux/fs.h>
#include <linux/input.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define RECORD_BYTES 4096
#define PAGE_BYTES 4096
#define MIB (1024 * 1024)
#define TICK_MS 250
#define FLUSH_MS 4

/* One disk record, little endian as x86 is. `checksum` covers the whole record with the field itself as zero. */
struct record {
  char magic[8];
  uint64_t number;
  uint64_t wall_ns;
  uint64_t uptime_ns;
  uint64_t nonce;
  uint64_t previous_checksum; /* of record number - 1 as this writer knows it; 0 for the very first */
  uint64_t conflicts;         /* how often this or an earlier writer met a record that it had not written */
  uint64_t capacity;          /* records that fit; the disk is a ring, see slot_of */
  char boot_id[40];
  char host[32];
  uint64_t checksum;
  unsigned char filler[RECORD_BYTES - 8 * 9 - 72];
};
_Static_assert(sizeof(struct record) == RECORD_BYTES, "a record fills one block");

static char command_line[4096];
static char boot_id[40] = "unknown";

static uint64_t now_ns(clockid_t clock) {
  struct timespec time;
  clock_gettime(clock, &time);
  return (uint64_t)time.tv_sec * 1000000000ull + (uint64_t)time.tv_nsec;
}

static void sleep_ns(uint64_t ns) {
  struct timespec time = {(time_t)(ns / 1000000000ull), (long)(ns % 1000000000ull)};
  while (nanosleep(&time, &time) != 0 && errno == EINTR) {
  }
}

/* One write per line, so that lines of the processes never mix. */
static void say(const char *format, ...) {
  char line[512];
  va_list arguments;
  va_start(arguments, format);
  int length = vsnprintf(line, sizeof line - 1, format, arguments);
  va_end(arguments);
  if (length < 0) return;
  if (length > (int)sizeof line - 2) length = sizeof line - 2;
  line[length] = '\n';
  if (write(1, line, (size_t)length + 1) < 0) return;
}

static void read_text(const char *path, char *into, size_t size) {
  int file = open(path, O_RDONLY | O_CLOEXEC);
  ssize_t length = file < 0 ? -1 : read(file, into, size - 1);
  if (file >= 0) close(file);
  if (length < 0) return;
  into[length] = 0;
  into[strcspn(into, "\n")] = 0;
}

/* The value of the kernel option `ferry.NAME=`, or the fallback. Own options carry the prefix: the kernel itself reads "mem=". */
static const char *option(const char *name, const char *fallback, char *into, size_t size) {
  char key[64];
  snprintf(key, sizeof key, "ferry.%s=", name);
  const char *at = strstr(command_line, key);
  if (at == NULL) {
    snprintf(into, size, "%s", fallback);
    return into;
  }
  at += strlen(key);
  size_t length = strcspn(at, " ");
  if (length >= size) length = size - 1;
  memcpy(into, at, length);
  into[length] = 0;
  return into;
}

static int by_name(const struct dirent **left, const struct dirent **right) { return strcmp((*left)->d_name, (*right)->d_name); }

/* The image holds the modules as /modules/NN-name.ko, numbered in the order of their dependencies. */
static void load_modules(void) {
  struct dirent **entries;
  int count = scandir("/modules", &entries, NULL, by_name);
  for (int i = 0; i < count; i++) {
    char path[512];
    if (entries[i]->d_name[0] == '.') continue;
    snprintf(path, sizeof path, "/modules/%s", entries[i]->d_name);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0 || syscall(SYS_finit_module, file, "", 0) != 0) say("ferry: module %s: %s", path, strerror(errno));
    if (file >= 0) close(file);
  }
}

/*
 * Any frame shows the switches where this card is now. It may have been on another host before, and a guest that only
 * answers would never be found.
 */
static void announce(int control, int prefix, const char *host) {
  struct ifreq request = {.ifr_name = "eth0"};
  for (int try = 0; try < 200; try++) {
    if (ioctl(control, SIOCGIFFLAGS, &request) == 0 && (request.ifr_flags & IFF_RUNNING) != 0) break;
    sleep_ns(10000000);
  }
  const int yes = 1;
  struct sockaddr_in everyone = {.sin_family = AF_INET, .sin_port = htons(9)};
  if (inet_pton(AF_INET, host, &everyone.sin_addr) != 1 || prefix < 8 || prefix > 30) return;
  everyone.sin_addr.s_addr |= htonl(~0u >> prefix);
  setsockopt(control, SOL_SOCKET, SO_BROADCAST, &yes, sizeof yes);
  /* twice: the card reports that it runs a moment before it sends */
  for (int i = 0; i < 2; i++) {
    if (sendto(control, "here", 4, 0, (struct sockaddr *)&everyone, sizeof everyone) < 0)
      say("ferry: no announcement: %s", strerror(errno));
    sleep_ns(10000000);
  }
}

static void configure_network(const char *address) {
  char host[32];
  int prefix = 24;
  snprintf(host, sizeof host, "%s", address);
  char *slash = strchr(host, '/');
  if (slash != NULL) {
    prefix = atoi(slash + 1);
    *slash = 0;
  }
  int control = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  struct ifreq request;
  for (int try = 0; try < 200; try++) {
    memset(&request, 0, sizeof request);
    strcpy(request.ifr_name, "eth0");
    if (ioctl(control, SIOCGIFFLAGS, &request) == 0) break;
    sleep_ns(10000000);
  }
  struct sockaddr_in *socket_address = (struct sockaddr_in *)&request.ifr_addr;
  memset(&request, 0, sizeof request);
  strcpy(request.ifr_name, "eth0");
  socket_address->sin_family = AF_INET;
  if (inet_pton(AF_INET, host, &socket_address->sin_addr) != 1 || ioctl(control, SIOCSIFADDR, &request) != 0)
    say("ferry: no network: %s", strerror(errno));
  socket_address->sin_addr.s_addr = htonl(prefix == 0 ? 0 : ~0u << (32 - prefix));
  ioctl(control, SIOCSIFNETMASK, &request);
  memset(&request, 0, sizeof request);
  strcpy(request.ifr_name, "eth0");
  if (ioctl(control, SIOCGIFFLAGS, &request) == 0) {
    request.ifr_flags |= IFF_UP;
    ioctl(control, SIOCSIFFLAGS, &request);
  }
  announce(control, prefix, host);
  close(control);
}

static uint64_t random_state = 0x9e3779b97f4a7c15ull;
static uint64_t next_random(void) {
  random_state ^= random_state << 13;
  random_state ^= random_state >> 7;
  random_state ^= random_state << 17;
  return random_state;
}

static long available_mib(void) {
  char text[2048] = "";
  int file = open("/proc/meminfo", O_RDONLY | O_CLOEXEC);
  ssize_t length = file < 0 ? 0 : read(file, text, sizeof text - 1);
  if (file >= 0) close(file);
  text[length > 0 ? length : 0] = 0;
  const char *line = strstr(text, "MemAvailable:");
  return line == NULL ? 32 : atol(line + 13) / 1024;
}

/*
 * Rewrites random pages at the given rate: 64 new words in each, one per cache line, which makes the whole page dirty at a cost that
 * emulation can pay. After a pause (a migration's downtime) at most 100 ms are caught up, so that the rate is never exceeded for long.
 */
static void dirty_memory(long mib_per_second) {
  long pool_mib = available_mib() - 16;
  if (pool_mib > available_mib() * 3 / 4) pool_mib = available_mib() * 3 / 4;
  if (pool_mib < 4) pool_mib = 4;
  size_t pages = (size_t)pool_mib * MIB / PAGE_BYTES;
  unsigned char *pool = mmap(NULL, pages * PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  if (pool == MAP_FAILED) {
    say("dirty failed: %s", strerror(errno));
    return;
  }
  const uint64_t pages_per_second = (uint64_t)mib_per_second * MIB / PAGE_BYTES;
  say("dirty start rate_mib=%ld pool_mib=%ld", mib_per_second, pool_mib);
  uint64_t last = now_ns(CLOCK_MONOTONIC), report_at = last + 5000000000ull, since = last, written = 0, owed_ns_pages = 0;
  for (;;) {
    uint64_t now = now_ns(CLOCK_MONOTONIC);
    uint64_t elapsed = now - last;
    if (elapsed > 100000000ull) elapsed = 100000000ull;
    last = now;
    owed_ns_pages += elapsed * pages_per_second;
    /* bounded slices, so that a rate beyond this guest's power does not pile up a debt */
    uint64_t due = owed_ns_pages / 1000000000ull;
    owed_ns_pages %= 1000000000ull;
    for (uint64_t i = 0; i < due; i++) {
      uint64_t *page = (uint64_t *)(void *)(pool + (next_random() % pages) * PAGE_BYTES);
      for (int line = 0; line < PAGE_BYTES / 64; line++) page[line * 8] = next_random();
    }
    written += due;
    now = now_ns(CLOCK_MONOTONIC);
    if (now >= report_at) {
      say("dirty mib_per_second=%.1f", (double)written * PAGE_BYTES / MIB / ((double)(now - since) / 1e9));
      since = now;
      written = 0;
      report_at = now + 5000000000ull;
    }
    if (now - last < 10000000ull) sleep_ns(10000000ull - (now - last));
  }
}

static uint64_t checksum_of(const struct record *record) {
  static struct record copy;
  memcpy(&copy, record, sizeof copy);
  copy.checksum = 0;
  /* two lanes of 32-bit FNV-1a, over the even and the odd words: cheap to emulate, and to repeat in a language without 64-bit integers */
  const uint32_t *words = (const uint32_t *)(const void *)&copy;
  uint32_t even = 0x811c9dc5u, odd = 0x811c9dc5u;
  for (size_t i = 0; i < RECORD_BYTES / 4; i += 2) {
    even = (even ^ words[i]) * 0x01000193u;
    odd = (odd ^ words[i + 1]) * 0x01000193u;
  }
  return (uint64_t)odd << 32 | even;
}

static int is_record(const struct record *record) {
  return memcmp(record->magic, "FERRYREC", 8) == 0 && record->checksum == checksum_of(record);
}

static off_t slot_of(uint64_t number, uint64_t capacity) { return (off_t)((number - 1) % capacity * RECORD_BYTES); }

/* The record with the highest number, found by reading the disk once. Returns 0 when there is none. */
static int find_last(int disk, uint64_t capacity, struct record *last, unsigned char *buffer) {
  int found = 0;
  for (uint64_t slot = 0; slot < capacity; slot += MIB / RECORD_BYTES) {
    ssize_t length = pread(disk, buffer, MIB, (off_t)(slot * RECORD_BYTES));
    for (ssize_t at = 0; at + RECORD_BYTES <= length; at += RECORD_BYTES) {
      const struct record *record = (const struct record *)(const void *)(buffer + at);
      if (!is_record(record)) continue;
      if (!found || record->number > last->number) memcpy(last, record, RECORD_BYTES);
      found = 1;
    }
    /* the first pass over a disk is written from its start: an empty MiB ends it */
    if (length <= 0 || memcmp(buffer, "FERRYREC", 8) != 0) break;
  }
  return found;
}

/*
 * Appends records, each made durable before the next. Before it writes, it reads back its own last record and the slot to come: when
 * either holds what it did not write, someone else writes to this disk too, and the count of conflicts in all later records says so.
 */
static void write_records(const char *host, uint64_t interval_ms) {
  int disk = -1;
  for (int try = 0; disk < 0 && try < 200; try++) {
    disk = open("/dev/vda", O_RDWR | O_DIRECT | O_CLOEXEC);
    if (disk < 0) sleep_ns(10000000);
  }
  unsigned char *scratch = aligned_alloc(RECORD_BYTES, MIB);
  struct record *mine = aligned_alloc(RECORD_BYTES, RECORD_BYTES), *seen = aligned_alloc(RECORD_BYTES, RECORD_BYTES);
  uint64_t bytes = 0;
  if (disk < 0 || scratch == NULL || mine == NULL || seen == NULL || ioctl(disk, BLKGETSIZE64, &bytes) != 0 || bytes < MIB) {
    say("disk failed: no disk: %s", strerror(errno));
    return;
  }
  const uint64_t capacity = bytes / RECORD_BYTES;
  memset(mine, 0, RECORD_BYTES);
  const int continues = find_last(disk, capacity, mine, scratch);
  uint64_t number = continues ? mine->number + 1 : 1, previous = continues ? mine->checksum : 0;
  uint64_t conflicts = continues ? mine->conflicts : 0;
  say("disk start next=%llu capacity=%llu", (unsigned long long)number, (unsigned long long)capacity);
  uint64_t report_at = 0;
  for (;; number++) {
    const uint64_t started = now_ns(CLOCK_MONOTONIC);
    const off_t at = slot_of(number, capacity);
    int foreign = 0;
    if (previous != 0 && pread(disk, seen, RECORD_BYTES, slot_of(number - 1, capacity)) == RECORD_BYTES)
      foreign = !is_record(seen) || seen->checksum != previous;
    if (pread(disk, seen, RECORD_BYTES, at) == RECORD_BYTES && is_record(seen) && seen->number + capacity != number) foreign = 1;
    if (foreign) {
      if (seen->conflicts > conflicts && is_record(seen)) conflicts = seen->conflicts;
      conflicts++;
      say("disk conflict at=%llu conflicts=%llu", (unsigned long long)number, (unsigned long long)conflicts);
    }
    memset(mine, 0, RECORD_BYTES);
    memcpy(mine->magic, "FERRYREC", 8);
    mine->number = number;
    mine->wall_ns = now_ns(CLOCK_REALTIME);
    mine->uptime_ns = started;
    random_state ^= mine->wall_ns;
    mine->nonce = next_random();
    mine->previous_checksum = previous;
    mine->conflicts = conflicts;
    mine->capacity = capacity;
    snprintf(mine->boot_id, sizeof mine->boot_id, "%s", boot_id);
    snprintf(mine->host, sizeof mine->host, "%s", host);
    for (size_t i = 0; i + 8 <= sizeof mine->filler; i += 8) {
      uint64_t word = next_random();
      memcpy(mine->filler + i, &word, 8);
    }
    mine->checksum = checksum_of(mine);
    if (pwrite(disk, mine, RECORD_BYTES, at) != RECORD_BYTES || fdatasync(disk) != 0) {
      say("disk failed: record %llu: %s", (unsigned long long)number, strerror(errno));
      sleep_ns(1000000000ull);
      number--;
      continue;
    }
    previous = mine->checksum;
    const uint64_t now = now_ns(CLOCK_MONOTONIC);
    if (now >= report_at) {
      say("disk record=%llu", (unsigned long long)number);
      report_at = now + 1000000000ull;
    }
    if (now - started < interval_ms * 1000000ull) sleep_ns(interval_ms * 1000000ull - (now - started));
  }
}

/*
 * QEMU's emulation (TCG, seen with 7.2) forgets some pages in a live migration. host/tlb-fix.c repairs that but for the
 * moment between a store and its dirty bit. A guest that flushes its TLB often has few old entries, and removing the
 * write permission from more pages than the kernel flushes one by one (33) flushes all of it. KVM does not need this, and
 * it costs next to nothing there.
 */
static void flush_tlb_often(void) {
  const size_t size = 40 * 4096;
  char *const pages = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  if (pages == MAP_FAILED) return;
  for (;;) {
    for (size_t at = 0; at < size; at += 4096) pages[at]++;
    mprotect(pages, size, PROT_READ);
    mprotect(pages, size, PROT_READ | PROT_WRITE);
    sleep_ns(FLUSH_MS * 1000000ull);
  }
}

/* The power button of libvirt's "shutdown": an input device with KEY_POWER that is no keyboard (those have it, too). */
static void obey_power_button(void) {
  int button = -1;
  for (int i = 0; i < 8 && button < 0; i++) {
    char path[64];
    unsigned long keys[(KEY_MAX + 64) / 64] = {0};
    snprintf(path, sizeof path, "/dev/input/event%d", i);
    int device = open(path, O_RDONLY | O_CLOEXEC);
    if (device < 0) continue;
    ioctl(device, EVIOCGBIT(EV_KEY, sizeof keys), keys);
    const int has_power = keys[KEY_POWER / 64] >> (KEY_POWER % 64) & 1, has_letters = keys[0] >> KEY_A & 1;
    if (has_power && !has_letters) button = device;
    else close(device);
  }
  struct input_event event;
  while (button >= 0 && read(button, &event, sizeof event) == sizeof event) {
    if (event.type != EV_KEY || event.code != KEY_POWER || event.value != 1) continue;
    say("power button");
    sync();
    reboot(RB_POWER_OFF);
  }
}

/* In the images of guests with an agent. Without udev the channel has no name in /dev. */
static void run_agent(void) {
  glob_t ports;
  for (int try = 0; try < 1000; try++, sleep_ns(10000000)) {
    if (glob("/sys/class/virtio-ports/*/name", 0, NULL, &ports) != 0) continue;
    for (size_t i = 0; i < ports.gl_pathc; i++) {
      char name[64] = "", path[300], *port = dirname(ports.gl_pathv[i]);
      snprintf(path, sizeof path, "%s/name", port);
      read_text(path, name, sizeof name);
      if (strcmp(name, "org.qemu.guest_agent.0") != 0) continue;
      snprintf(path, sizeof path, "--path=/dev/%s", basename(port));
      execl("/usr/sbin/qemu-ga", "qemu-ga", "--method=virtio-serial", path, "--statedir=/run", NULL);
      say("ferry: no agent: %s", strerror(errno));
      return;
    }
    globfree(&ports);
  }
  say("ferry: the agent has no channel");
}

static void run(const char *workload, const char *host, uint64_t interval_ms) {
  if (strncmp(workload, "dirty:", 6) == 0) dirty_memory(atol(workload + 6));
  else if (strcmp(workload, "disk") == 0) write_records(host, interval_ms);
}

int main(void) {
  mkdir("/proc", 0755);
  mkdir("/sys", 0755);
  mkdir("/dev", 0755);
  mount("proc", "/proc", "proc", 0, NULL);
  mount("sysfs", "/sys", "sysfs", 0, NULL);
  mount("devtmpfs", "/dev", "devtmpfs", 0, NULL);
  int console = open("/dev/console", O_RDWR);
  for (int i = 0; console >= 0 && i < 3; i++) dup2(console, i);
  read_text("/proc/cmdline", command_line, sizeof command_line);
  read_text("/proc/sys/kernel/random/boot_id", boot_id, sizeof boot_id);
  random_state ^= now_ns(CLOCK_REALTIME);
  char name[64], host[32], address[32], workload[64], interval[16];
  option("name", "guest", name, sizeof name);
  option("host", "unknown", host, sizeof host);
  option("address", "", address, sizeof address);
  option("workload", "idle", workload, sizeof workload);
  option("interval_ms", "20", interval, sizeof interval);
  load_modules();
  if (address[0] != 0) configure_network(address);
  say("boot name=%s host=%s address=%s workload=%s boot_id=%s", name, host, address, workload, boot_id);
  if (fork() == 0) {
    obey_power_button();
    _exit(0);
  }
  if (fork() == 0) {
    flush_tlb_often();
    _exit(0);
  }
  if (access("/usr/sbin/qemu-ga", X_OK) == 0 && fork() == 0) {
    run_agent();
    _exit(1);
  }
  if (strcmp(workload, "idle") != 0 && fork() == 0) {
    run(workload, host, (uint64_t)atol(interval));
    _exit(1);
  }
  for (uint64_t count = 1;; count++) {
    say("tick %llu uptime_ms=%llu", (unsigned long long)count, (unsigned long long)(now_ns(CLOCK_MONOTONIC) / 1000000));
    while (waitpid(-1, NULL, WNOHANG) > 0) {
    }
    sleep_ns(TICK_MS * 1000000ull);
  }
}
