// script/bench rpc: how long it takes to list 2,000 domains with XML and state over one connection. Ferry's client
// (pipelined) against a C program on libvirt's own client library (one call after the other) and against virsh, in
// turns, on a libvirtd of its own that serves test:///default. Target: not slower than the C program.
import { execFile, spawn } from 'node:child_process';
import type { ChildProcessWithoutNullStreams } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
// test support, no part of the product
import { startPrivateLibvirtd } from '../../packages/libvirt/test/private-libvirtd.ts';
import { optionsOf, usual } from './options.ts';
import { estimate, exitOf, makeResult, pairedRatios, printResult, spread } from './report.ts';

const run = promisify(execFile);
const { values: flags } = optionsOf({ options: usual });
const DOMAINS = 2000;
const ROUNDS = flags.quick ? 12 : 60;
const WARM_UP_ROUNDS = 3;

interface Round {
  readonly domains: number;
  readonly xmlLength: number;
  readonly states: number;
  readonly openMs: number;
  readonly listMs: number;
}

interface Worker extends AsyncDisposable {
  /** Sends a line, resolves with the answer's. */
  ask(): Promise<string>;
  next(): Promise<string>;
}

function startWorker(command: string, args: readonly string[]): Worker {
  const child: ChildProcessWithoutNullStreams = spawn(command, args);
  child.stderr.pipe(process.stderr);
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const exited = new Promise<void>((resolve) => {
    child.once('exit', () => resolve());
  });
  const next = async (): Promise<string> => {
    const { value, done } = await lines.next();
    if (done === true) throw new Error(`${command} ${args.join(' ')} ended early`);
    return value;
  };
  return {
    next,
    ask: async () => {
      child.stdin.write('\n');
      return await next();
    },
    [Symbol.asyncDispose]: async () => {
      child.stdin.end();
      await exited;
    },
  };
}

/** One virsh process, fed with the commands for all domains. It prints prompts; only the time counts here. */
async function virshRound(uri: string, uuids: readonly string[]): Promise<number> {
  const commands = uuids.flatMap((uuid) => [`dumpxml ${uuid}`, `domstate ${uuid} --reason`]);
  const start = performance.now();
  const child = spawn('virsh', ['-q', '-c', uri], { stdio: ['pipe', 'pipe', 'inherit'] });
  let bytes = 0;
  child.stdout.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
  });
  child.stdin.end(`list --all --uuid\n${commands.join('\n')}\nquit\n`);
  await new Promise<void>((resolve) => {
    child.once('close', () => resolve());
  });
  if (bytes < uuids.length * 500) throw new Error(`virsh answered ${bytes} bytes only`);
  return performance.now() - start;
}

const step = (text: string): void => void process.stderr.write(`bench rpc: ${text}\n`);

await using daemon = await startPrivateLibvirtd();
const uri = `test+unix:///default?socket=${daemon.socket}`;
const program = join(daemon.directory, 'rpc-sequential');
step('compiling the C program');
await run('gcc', ['-O2', '-o', program, join(import.meta.dirname, 'rpc-sequential.c'), '-lvirt']);
const client = join(import.meta.dirname, 'rpc-client.ts');

step(`defining ${DOMAINS} domains`);
await using keeper = startWorker(process.execPath, [client, uri, 'define', String(DOMAINS)]);
await keeper.next();
await using ferry = startWorker(process.execPath, [client, uri, 'list']);
await using c = startWorker(program, [uri]);
const { stdout } = await run('virsh', ['-c', uri, 'list', '--all', '--uuid']);
const uuids = stdout.split('\n').filter((line) => line !== '');

const round = async (worker: Worker): Promise<Round> => JSON.parse(await worker.ask()) as Round;
const first = { ferry: await round(ferry), c: await round(c) };
for (let index = 1; index < WARM_UP_ROUNDS; index++) {
  await round(ferry);
  await round(c);
}

const ferryRounds: Round[] = [];
const cRounds: Round[] = [];
const virshMs: number[] = [];
for (let index = 0; index < ROUNDS; index++) {
  // who comes first changes from turn to turn
  const turns = [
    async () => void ferryRounds.push(await round(ferry)),
    async () => void cRounds.push(await round(c)),
    async () => void virshMs.push(await virshRound(uri, uuids)),
  ];
  for (let turn = 0; turn < turns.length; turn++) await turns[(index + turn) % turns.length]?.();
  if ((index + 1) % 10 === 0) step(`${index + 1} of ${ROUNDS} rounds`);
}

const work = ({ domains, xmlLength, states }: Round): string =>
  `${domains} domains, ${xmlLength} characters of XML, states adding up to ${states}`;
const [oursDid, theirsDid] = [ferryRounds, cRounds].map((rounds) => new Set(rounds.map(work)));
if (oursDid?.size !== 1 || theirsDid?.size !== 1 || [...oursDid][0] !== [...theirsDid][0]) {
  throw new Error(
    `they did not do the same: ${[...(oursDid ?? [])].join(', ')} against ${[...(theirsDid ?? [])].join(', ')}`,
  );
}

const listMs = ({ listMs: ms }: Round): number => ms;
const wholeMs = ({ openMs, listMs: ms }: Round): number => openMs + ms;
const ratioList = estimate(pairedRatios(ferryRounds.map(listMs), cRounds.map(listMs)));
const ratioWhole = estimate(pairedRatios(ferryRounds.map(wholeMs), cRounds.map(wholeMs)));
const ratioVirsh = estimate(pairedRatios(ferryRounds.map(wholeMs), virshMs));
const figures = {
  domains: uuids.length,
  rounds: ROUNDS,
  work: [...oursDid][0],
  ferryListMs: spread(ferryRounds.map(listMs)),
  cListMs: spread(cRounds.map(listMs)),
  ferryOpenMs: spread(ferryRounds.map(({ openMs }) => openMs)),
  cOpenMs: spread(cRounds.map(({ openMs }) => openMs)),
  ferryOpenAndListMs: spread(ferryRounds.map(wholeMs)),
  cOpenAndListMs: spread(cRounds.map(wholeMs)),
  virshProcessMs: spread(virshMs),
  firstRoundMs: { ferry: wholeMs(first.ferry), c: wholeMs(first.c) },
  ratioList,
  ratioOpenAndList: ratioWhole,
  ratioVirsh,
};
const { stdout: libvirt } = await run('virsh', ['--version']);

const ms = ({ median, p25, p75 }: { readonly median: number; readonly p25: number; readonly p75: number }): string =>
  `${median.toFixed(1).padStart(8)} ms   (middle half ${p25.toFixed(1)} to ${p75.toFixed(1)})`;
const times = ({
  median,
  low,
  high,
}: {
  readonly median: number;
  readonly low: number;
  readonly high: number;
}): string => `${median.toFixed(3)}   (95 % interval ${low.toFixed(3)} to ${high.toFixed(3)})`;
process.stdout.write(`\n${uuids.length} domains with XML and state, ${ROUNDS} rounds in turns, median
                                    connection open            opening included
  Ferry's client, pipelined    ${ms(figures.ferryListMs)}   ${ms(figures.ferryOpenAndListMs)}
  C on libvirt's client library${ms(figures.cListMs)}   ${ms(figures.cOpenAndListMs)}
  virsh, one process                                                      ${ms(figures.virshProcessMs)}
  Ferry / C                    ${times(ratioList)}   ${times(ratioWhole)}
  Ferry / virsh                ${times(ratioVirsh)}
`);
const result = makeResult(
  'rpc',
  figures,
  {
    list: { what: 'Ferry / C, paired, connection open', value: ratioList.median, atMost: 1 },
    openAndList: { what: 'Ferry / C, paired, opening included', value: ratioWhole.median, atMost: 1 },
  },
  { libvirt: libvirt.trim() },
);
printResult(result, { json: flags.json });
process.exitCode = exitOf(result);
