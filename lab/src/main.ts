// The command line of the lab: arguments in, text or JSON out. All work is done by the functions of index.ts.

import { parseArgs } from 'node:util';
import { COMMANDS, helpOf, overview } from './commands.ts';
import type { Flags } from './commands.ts';
import { LabError, messageOf } from './errors.ts';

// a closed pipe or terminal (| head) must not end a command half-way
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => undefined);
const stop = new AbortController();
let signalExitCode = 1;
for (const [name, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
  ['SIGHUP', 129],
] as const) {
  process.on(name, () => {
    signalExitCode = code;
    stop.abort();
  });
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  if (stop.signal.aborted) {
    process.stderr.write('lab: stopped.\n');
    process.exitCode = signalExitCode;
  } else {
    process.stderr.write(`lab: ${messageOf(error)}\n`);
    process.exitCode = error instanceof LabError ? error.exitCode : 1;
  }
}

async function main(args: readonly string[]): Promise<number> {
  // what follows `--` belongs to the command that runs on a host
  const end = args.indexOf('--');
  const own = end === -1 ? args : args.slice(0, end);
  const rest = end === -1 ? [] : args.slice(end + 1);
  const { flags, words } = parse(own);
  if (words.length === 0) {
    process.stdout.write(overview());
    return flags.help === true ? 0 : 2;
  }
  const name = [2, 1].map((count) => words.slice(0, count).join(' ')).find((candidate) => candidate in COMMANDS);
  const command = name === undefined ? undefined : COMMANDS[name];
  if (name === undefined || command === undefined)
    throw new LabError(`There is no command "${words.slice(0, 2).join(' ')}"; "script/lab --help" lists them.`, {
      exitCode: 2,
    });
  if (flags.help === true) {
    process.stdout.write(helpOf(name, command));
    return 0;
  }
  const operands = words.slice(name.split(' ').length);
  for (const flag of Object.keys(flags)) {
    if (flag !== 'lab' && !(flag in command.options))
      throw new LabError(`"${name}" has no option --${flag}; see "script/lab ${name} --help".`, { exitCode: 2 });
  }
  if (operands.length !== command.operands.length)
    throw new LabError(
      `Use: script/lab ${name}${command.operands.map((operand) => ` ${operand}`).join('')}; see "script/lab ${name} --help".`,
      { exitCode: 2 },
    );
  if (rest.length > 0 && command.takesRest !== true)
    throw new LabError(`"${name}" takes nothing after "--".`, { exitCode: 2 });
  return await command.run({ operands, rest, flags, signal: stop.signal });
}

function parse(args: readonly string[]): { readonly flags: Flags; readonly words: readonly string[] } {
  try {
    const { values, positionals } = parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        help: { type: 'boolean', short: 'h' },
        json: { type: 'boolean' },
        lab: { type: 'string' },
        hosts: { type: 'string' },
        release: { type: 'string', multiple: true },
        'link-mbit': { type: 'string' },
        host: { type: 'string' },
        'memory-mib': { type: 'string' },
        disk: { type: 'string' },
        'disk-mib': { type: 'string' },
        workload: { type: 'string' },
        all: { type: 'boolean' },
        'no-start': { type: 'boolean' },
        'no-wait': { type: 'boolean' },
        agent: { type: 'boolean' },
      },
    });
    return { flags: values, words: positionals };
  } catch (error) {
    throw new LabError(`${messageOf(error).split('. ')[0] ?? ''}; see "script/lab --help".`, {
      exitCode: 2,
      cause: error,
    });
  }
}
