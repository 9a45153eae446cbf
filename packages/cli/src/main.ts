/** The entry of `ferry`: the command tree, and one place where every failure ends. It only parses and formats. */
import { Command, CommanderError, InvalidArgumentError, Option } from 'commander';
import { exitCodes } from '@ferry/api/errors';
import own from '../package.json' with { type: 'json' };
import { formatsOf } from './context.ts';
import { printableLines } from './output/format.ts';
import { listFormats, reportFailure, usageJson } from './output/output.ts';

const exitText = `
Exit codes:
  ${exitCodes.done}    done
  ${exitCodes.failed}    failed
  ${exitCodes.usage}    wrong use: unknown option, malformed URI
  ${exitCodes.refused}    refused: a check forbids the move, each reason is named
  ${exitCodes.notFound}    not found, or the name is ambiguous
  ${exitCodes.unreachable}    control plane or host unreachable
  ${exitCodes.conflict}    conflict with something that is there or runs
  ${exitCodes.unauthorized}    missing or wrong token
  ${exitCodes.store}   the data folder is locked, from a newer version or broken
  ${exitCodes.cancelled}   the migration was aborted, or the drain or rollout cancelled
  ${exitCodes.detached}  detached by Ctrl-C; what was followed goes on
  141  the reader of the output has gone (| head)

Environment: FERRY_SERVER, FERRY_TOKEN, FERRY_DATA_DIR, NO_COLOR`;

/** Loading all of them is a third of what a short command takes: only those that a word of the arguments names. */
const groups: Readonly<Record<string, () => Promise<(program: Command) => void>>> = {
  host: async () => (await import('./commands/host.ts')).hostCommands,
  drain: async () => (await import('./commands/drain.ts')).drainCommands,
  rollout: async () => (await import('./commands/rollout.ts')).rolloutCommands,
  cluster: async () => (await import('./commands/cluster.ts')).clusterCommands,
  fleet: async () => (await import('./commands/fleet.ts')).fleetCommands,
  policy: async () => (await import('./commands/policy.ts')).policyCommands,
  rule: async () => (await import('./commands/rule.ts')).ruleCommands,
  apply: async () => (await import('./commands/configuration.ts')).applyCommand,
  export: async () => (await import('./commands/configuration.ts')).exportCommand,
  vm: async () => (await import('./commands/vm.ts')).vmCommands,
  migration: async () => (await import('./commands/migration.ts')).migrationCommands,
  stats: async () => (await import('./commands/stats.ts')).statsCommands,
  queue: async () => (await import('./commands/queue.ts')).queueCommands,
  volume: async () => (await import('./commands/volume.ts')).volumeCommands,
  event: async () => (await import('./commands/event.ts')).eventCommands,
  explain: async () => (await import('./commands/explain.ts')).explainCommands,
};

async function addGroups(program: Command, args: readonly string[]): Promise<void> {
  const named = Object.keys(groups).filter((name) => args.includes(name));
  // none: the help and what it suggests speak of all
  for (const name of named.length === 0 ? Object.keys(groups) : named) (await groups[name]?.())?.(program);
}

async function build(): Promise<Command> {
  const program = new Command('ferry')
    .description('moves virtual machines between plain libvirt hosts')
    .version(own.version, '--version', 'print the version')
    .addOption(new Option('-o, --output <format>', 'output format').choices(listFormats).default('table'))
    .option('--server <url>', 'control plane (default: the local one)')
    .option('--data-dir <dir>', "the local control plane's data folder")
    .addHelpText('after', exitText)
    .showHelpAfterError('See --help.')
    .exitOverride();
  // Only listed: bin/ferry starts the server itself.
  program
    .command('serve')
    .description('start the control plane (ferry serve --help)')
    .helpOption(false)
    .allowUnknownOption()
    .allowExcessArguments()
    .action(() => {
      throw new Error('"serve" must be the first word: ferry serve [options]');
    });
  await addGroups(program, process.argv);
  inherit(program);
  return program;
}

/** Global options may follow the command too, and every command ends the same way. */
function inherit(program: Command): void {
  const visit = (command: Command): void => {
    for (const child of command.commands) {
      child.copyInheritedSettings(program);
      if (child.commands.length === 0 && child.name() !== 'serve') {
        child.addOption(new Option('-o, --output <format>', 'output format').choices(formatsOf(child)));
        child.addOption(new Option('--server <url>').hideHelp());
        child.addOption(new Option('--data-dir <dir>').hideHelp());
      }
      visit(child);
    }
  };
  visit(program);
}

const wantsJson = (args: readonly string[]): boolean =>
  args.some(
    (each, at) =>
      each === '-ojson' ||
      each === '--output=json' ||
      (each === 'json' && ['-o', '--output'].includes(args[at - 1] ?? '')),
  );

/** Nobody reads any more (`| head`): as a program that the pipe's signal ends. */
const readerGone = 141;
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(process.exitCode ?? readerGone);
    throw error;
  });
}

try {
  await (await build()).parseAsync();
} catch (error) {
  // found by a command itself: nothing has been said yet
  if (error instanceof InvalidArgumentError) process.stderr.write(`error: ${printableLines(error.message)}\n`);
  if (error instanceof CommanderError) {
    process.exitCode = error.exitCode === 0 ? exitCodes.done : exitCodes.usage;
    if (error.exitCode !== 0 && wantsJson(process.argv))
      process.stdout.write(usageJson(error.message.replace(/^error: /, '')));
  } else process.exitCode = reportFailure(error, wantsJson(process.argv));
}
