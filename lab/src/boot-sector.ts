// A guest of 512 bytes: a boot sector that fills V MiB of memory with pseudo-random words, then dirties a hot set of W
// MiB without end, at D MiB/s of pages (and optionally a cold set at its own pace), one word per 4 KiB page, in order.
// Its machine code is here byte by byte, with a tiny assembler for the addresses. vm.ts runs it, sector-log.ts reads
// its serial bytes.
//
// The clock is the ACPI timer at I/O port 0x608 (3.58 MHz, 24 bits; SeaBIOS puts ACPI's ports at 0x600 on QEMU's PCs);
// the processor sleeps between the beats of the interval timer (250 Hz). Time that it did not get (throttled, starved)
// beyond 6 ms is lost and not made up for: its rate falls, as that of a busy program would. Each page's first word
// counts the passes over its set, and each visit verifies it, so that a page that a migration lost is seen (`!`). With
// each beat the write-protect bit of CR0 is turned over, which empties QEMU's software TLB: see the README. It obeys
// the power button: asked to shut down, it is off at the next beat.

import { usageError } from './errors.ts';

/**
 * Sizes in MiB of memory above the first one, paces in MiB/s of pages. The hot set begins the filled memory, the cold
 * set follows it.
 */
export type SectorLoad = {
  readonly filledMib: number;
  readonly hotMib: number;
  readonly hotMibPerSecond: number;
  readonly coldMib: number;
  readonly coldMibPerSecond: number;
};

/** What the guest says on its serial line, one byte each. */
export const SECTOR_BYTES = { booted: 'B', ready: 'R', beat: '.', hot: '+', cold: '-', damaged: '!' } as const;
export const SECTOR_BEATS_PER_SECOND = 250;

const SECTOR = 512;
const ORIGIN = 0x7c00;
const STACK = 0x7000;
const WALKERS = 0x5000; // not on the stack's page, nor on the code's, where each write would be slow
const FIRST = 0x10_0000;
const PAGE = 4096;
const PAGES_PER_MIB = 256;
const TIMER_HZ = 3_579_545;
const LONGEST_STEP = Math.round(TIMER_HZ * 0.006);
const BEAT_DIVISOR = Math.round(1_193_182 / SECTOR_BEATS_PER_SECOND);
// a pass over a set must take longer than the longest step, in which the TLB is not emptied
const MIN_SET_MIB = 4;
const MAX_RATE_MIB = 256;

/**
 * Reads `V=256,W=64,D=20` with optional `C=64,E=2`: memory filled, hot set and its pace, cold set and its pace; MiB
 * and MiB/s.
 */
export function parseSectorLoad(text: string): SectorLoad {
  const fields = new Map<string, number>();
  for (const part of text.split(',')) {
    const [, name = '', number] = /^([VWDCE])=(\d{1,5}(?:\.\d{1,3})?)$/.exec(part) ?? [];
    if (number === undefined || fields.has(name))
      throw usageError(
        `"sector:${text}" is no workload; write sector:V=256,W=64,D=20 (memory filled, hot set, its ` +
          'pace), with ",C=64,E=2" for a cold set and its pace.',
      );
    fields.set(name, Number(number));
  }
  const [filledMib, hotMib, hotMibPerSecond, coldMib = 0, coldMibPerSecond = 0] = ['V', 'W', 'D', 'C', 'E'].map(
    (name) => fields.get(name),
  );
  if (filledMib === undefined || hotMib === undefined || hotMibPerSecond === undefined)
    throw usageError('A sector guest needs V, W and D, as in sector:V=256,W=64,D=20.');
  for (const mib of [filledMib, hotMib, coldMib])
    if (!Number.isSafeInteger(mib)) throw usageError(`Sizes of a sector guest are whole MiB, not ${mib}.`);
  if (filledMib > 3000)
    throw usageError(`A sector guest fills at most 3000 MiB (it runs in 32-bit mode), not ${filledMib}.`);
  if (hotMib < MIN_SET_MIB || (coldMib !== 0 && coldMib < MIN_SET_MIB))
    throw usageError(`A set of a sector guest has at least ${MIN_SET_MIB} MiB.`);
  if (hotMib + coldMib > filledMib)
    throw usageError(
      `The sets of a sector guest (${hotMib + coldMib} MiB) have to fit into the ${filledMib} MiB it fills.`,
    );
  if (Math.max(hotMibPerSecond, coldMibPerSecond) > MAX_RATE_MIB)
    throw usageError(`A sector guest dirties at most ${MAX_RATE_MIB} MiB/s.`);
  if ((coldMib === 0) !== (coldMibPerSecond === 0)) throw usageError('A cold set needs its size C and its pace E.');
  return { filledMib, hotMib, hotMibPerSecond, coldMib, coldMibPerSecond };
}

type Part =
  | number
  | { readonly label: string }
  | { readonly to: string; readonly size: 1 | 2 | 4; readonly relative: boolean; readonly plus: number };

const label = (name: string): Part => ({ label: name });
/** An 8-bit or 32-bit distance, for jumps and calls. */
const near = (to: string): Part => ({ to, size: 1, relative: true, plus: 0 });
const far = (to: string): Part => ({ to, size: 4, relative: true, plus: 0 });
const address16 = (to: string): Part => ({ to, size: 2, relative: false, plus: 0 });
const address32 = (to: string, plus = 0): Part => ({ to, size: 4, relative: false, plus });
const long = (value: number): readonly number[] => [
  value & 0xff,
  (value >>> 8) & 0xff,
  (value >>> 16) & 0xff,
  (value >>> 24) & 0xff,
];
const byte = (character: string): number => character.charCodeAt(0);

/**
 * A set as the code walks it: next page, first page, end, word to write, pages per second, rest of the last division,
 * what to say per MiB, unused.
 */
function walker(firstMib: number, mib: number, mibPerSecond: number, says: string): readonly number[] {
  const first = FIRST + firstMib * PAGES_PER_MIB * PAGE;
  return [
    first,
    first,
    first + mib * PAGES_PER_MIB * PAGE,
    1,
    Math.round(mibPerSecond * PAGES_PER_MIB),
    0,
    byte(says),
    0,
  ].flatMap(long);
}

/** The 512 bytes that boot as this load. */
export function bootSector(load: SectorLoad): Buffer {
  // prettier-ignore
  const parts: readonly Part[] = [
    // 16 bits, as the BIOS starts it
    0xfa,                                             // cli
    0x31, 0xc0,                                       // xor ax, ax
    0x8e, 0xd8,                                       // mov ds, ax
    0xe4, 0x92, 0x0c, 0x02, 0x24, 0xfe, 0xe6, 0x92,   // in al, 0x92; or al, 2; and al, 0xfe; out 0x92, al       address line 20
    0x0f, 0x01, 0x16, address16('gdtr'),              // lgdt [gdtr]
    0x0f, 0x20, 0xc0,                                 // mov eax, cr0
    0x0c, 0x01,                                       // or al, 1
    0x0f, 0x22, 0xc0,                                 // mov cr0, eax
    0xea, address16('flat'), 0x08, 0x00,              // jmp 8:flat
    label('flat'),
    // 32 bits, flat
    0x66, 0xb8, 0x10, 0x00,                           // mov ax, 16
    0x8e, 0xd8, 0x8e, 0xc0, 0x8e, 0xd0,               // mov ds, eax; mov es, eax; mov ss, eax
    0xbc, ...long(STACK),                             // mov esp, STACK
    0x0f, 0x01, 0x1d, address32('idtr'),              // lidt [idtr]
    0xfc,                                             // cld
    0xb0, byte(SECTOR_BYTES.booted), 0xe8, far('say'),  // mov al, 'B'; call say
    // fill: xorshift32
    0xbf, ...long(FIRST),                             // mov edi, FIRST
    0xb9, ...long(load.filledMib * 2 ** 18),          // mov ecx, words
    0xb8, ...long(0x2545_f491),                       // mov eax, seed
    label('fill'),
    0x89, 0xc2, 0xc1, 0xe2, 13, 0x31, 0xd0,           // mov edx, eax; shl edx, 13; xor eax, edx
    0x89, 0xc2, 0xc1, 0xea, 17, 0x31, 0xd0,           // mov edx, eax; shr edx, 17; xor eax, edx
    0x89, 0xc2, 0xc1, 0xe2, 5, 0x31, 0xd0,            // mov edx, eax; shl edx, 5; xor eax, edx
    0xab,                                             // stosd
    0xe2, near('fill'),                               // loop fill
    // the pages' pass counters begin at 0
    0xbf, ...long(FIRST),                             // mov edi, FIRST
    0xb9, ...long(load.filledMib * PAGES_PER_MIB),    // mov ecx, pages
    label('clear'),
    0x83, 0x27, 0x00,                                 // and dword [edi], 0
    0x81, 0xc7, ...long(PAGE),                        // add edi, 4096
    0xe2, near('clear'),                              // loop clear
    0xbe, address32('walkers'),                       // mov esi, walkers
    0xbf, ...long(WALKERS),                           // mov edi, WALKERS
    0xb1, 16,                                         // mov cl, 16
    0xf3, 0xa5,                                       // rep movsd
    // interval timer: mode 2; of the interrupts only its own
    0xb0, 0x34, 0xe6, 0x43,                           // mov al, 0x34; out 0x43, al
    0xb0, BEAT_DIVISOR & 0xff, 0xe6, 0x40,            // mov al, low; out 0x40, al
    0xb0, BEAT_DIVISOR >> 8, 0xe6, 0x40,              // mov al, high; out 0x40, al
    0xb0, 0xff, 0xe6, 0xa1,                           // mov al, 0xff; out 0xa1, al
    0xb0, 0xfe, 0xe6, 0x21,                           // mov al, 0xfe; out 0x21, al
    0x66, 0xba, 0x02, 0x06, 0x66, 0xb8, 0x00, 0x01,   // mov dx, 0x602; mov ax, 0x100
    0x66, 0xef,                                       // out dx, ax                                  tell of the power button
    0xb0, byte(SECTOR_BYTES.ready), 0xe8, far('say'), // mov al, 'R'; call say
    0x66, 0xba, 0x08, 0x06, 0xed, 0x89, 0xc5,         // mov dx, 0x608; in eax, dx; mov ebp, eax
    label('beat'),
    0xfb, 0xf4, 0xfa,                                 // sti; hlt; cli
    0xb0, 0x20, 0xe6, 0x20,                           // mov al, 0x20; out 0x20, al                 end of interrupt
    0x0f, 0x20, 0xc0,                                 // mov eax, cr0
    0x35, ...long(0x1_0000),                          // xor eax, 1 << 16
    0x0f, 0x22, 0xc0,                                 // mov cr0, eax
    0x66, 0xba, 0x00, 0x06, 0x66, 0xed,               // mov dx, 0x600; in ax, dx
    0xf6, 0xc4, 0x01,                                 // test ah, 1
    0x74, near('on'),                                 // jz on                                       not pressed
    0x66, 0xba, 0x04, 0x06, 0x66, 0xb8, 0x00, 0x20,   // mov dx, 0x604; mov ax, 0x2000
    0x66, 0xef,                                       // out dx, ax                                  off
    label('on'),
    0xb0, byte(SECTOR_BYTES.beat), 0xe8, far('say'),  // mov al, '.'; call say
    0x66, 0xba, 0x08, 0x06, 0xed,                     // mov dx, 0x608; in eax, dx
    0x89, 0xc1, 0x29, 0xe9, 0x89, 0xc5,               // mov ecx, eax; sub ecx, ebp; mov ebp, eax
    0x81, 0xe1, ...long(0xff_ffff),                   // and ecx, 0xffffff
    0x81, 0xf9, ...long(LONGEST_STEP),                // cmp ecx, LONGEST_STEP
    0x76, near('short'),                              // jbe short
    0xb9, ...long(LONGEST_STEP),                      // mov ecx, LONGEST_STEP
    label('short'),
    0xbb, ...long(WALKERS),                           // mov ebx, WALKERS
    0xe8, far('walk'),                                // call walk
    0x83, 0xc3, 32,                                   // add ebx, 32
    0xe8, far('walk'),                                // call walk
    0xeb, near('beat'),                               // jmp beat
    // dirties what ecx ticks of the clock make of the set at ebx
    label('walk'),
    0x51,                                             // push ecx
    0x8b, 0x43, 16, 0xf7, 0xe1,                       // mov eax, [ebx+16]; mul ecx
    0x03, 0x43, 20, 0x83, 0xd2, 0x00,                 // add eax, [ebx+20]; adc edx, 0
    0xb9, ...long(TIMER_HZ), 0xf7, 0xf1,              // mov ecx, TIMER_HZ; div ecx
    0x89, 0xd6, 0x89, 0xc1,                           // mov esi, edx; mov ecx, eax
    0x8b, 0x3b, 0x8b, 0x53, 12,                       // mov edi, [ebx]; mov edx, [ebx+12]
    0xe3, near('walked'),                             // jecxz walked
    label('page'),
    0x8d, 0x42, 0xff, 0x39, 0x07,                     // lea eax, [edx-1]; cmp [edi], eax
    0x74, near('good'),                               // je good
    0xb0, byte(SECTOR_BYTES.damaged), 0xe8, far('say'), // mov al, '!'; call say
    label('good'),
    0x89, 0x17,                                       // mov [edi], edx
    0x81, 0xc7, ...long(PAGE),                        // add edi, 4096
    0xf7, 0xc7, ...long(PAGES_PER_MIB * PAGE - 1),    // test edi, 0xfffff
    0x75, near('within'),                             // jnz within
    0x8a, 0x43, 24, 0xe8, far('say'),                 // mov al, [ebx+24]; call say
    label('within'),
    0x3b, 0x7b, 8,                                    // cmp edi, [ebx+8]
    0x72, near('next'),                               // jb next
    0x8b, 0x7b, 4, 0x42,                              // mov edi, [ebx+4]; inc edx
    label('next'),
    0xe2, near('page'),                               // loop page
    label('walked'),
    0x89, 0x3b, 0x89, 0x53, 12, 0x89, 0x73, 20,       // mov [ebx], edi; mov [ebx+12], edx; mov [ebx+20], esi
    0x59, 0xc3,                                       // pop ecx; ret
    label('say'),
    0x52, 0x66, 0xba, 0xf8, 0x03, 0xee, 0x5a, 0xc3,   // push edx; mov dx, 0x3f8; out dx, al; pop edx; ret
    label('interrupt'),
    0xcf,                                             // iret
    // null, flat code, flat data
    label('gdt'),
    0, 0, 0, 0, 0, 0, 0, 0,
    0xff, 0xff, 0, 0, 0, 0x9a, 0xcf, 0,
    0xff, 0xff, 0, 0, 0, 0x92, 0xcf, 0,
    label('gdtr'),
    23, 0, address32('gdt'),
    // the timer's interrupt is number 8, and the only entry of the table
    label('gate'),
    address16('interrupt'), 0x08, 0x00, 0x00, 0x8e, 0x00, 0x00,
    label('idtr'),
    71, 0, address32('gate', -64),
    label('walkers'),
    ...walker(0, load.hotMib, load.hotMibPerSecond, SECTOR_BYTES.hot),
    ...walker(load.hotMib, load.coldMib, load.coldMibPerSecond, SECTOR_BYTES.cold),
  ];
  return assemble(parts);
}

function assemble(parts: readonly Part[]): Buffer {
  const labels = new Map<string, number>();
  let end = 0;
  for (const part of parts) {
    if (typeof part === 'number') end += 1;
    else if ('label' in part) labels.set(part.label, end);
    else end += part.size;
  }
  // the last two bytes are what the BIOS knows a boot sector by
  if (end > SECTOR - 2) throw new RangeError(`the boot sector's code has ${end} bytes`);
  const sector = Buffer.alloc(SECTOR);
  sector.set([0x55, 0xaa], SECTOR - 2);
  let place = 0;
  for (const part of parts) {
    if (typeof part === 'number') place = sector.writeUInt8(part, place);
    else if (!('label' in part)) {
      const target = labels.get(part.to);
      if (target === undefined) throw new RangeError(`the boot sector has no label "${part.to}"`);
      const next = place + part.size;
      // a distance that does not fit is refused by the write
      if (part.relative) place = sector.writeIntLE(target - next, place, part.size);
      else place = sector.writeUIntLE(ORIGIN + target + part.plus, place, part.size);
    }
  }
  return sector;
}
