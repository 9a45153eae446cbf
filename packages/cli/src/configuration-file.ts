/** The file of `ferry apply`: YAML or JSON in, a configuration out, or what is wrong with it and in which line. */
import type { ConfigurationJson } from '@ferry/api';
import { parseStructured } from './structured-file.ts';

/** Throws InvalidArgumentError with every problem, each with its line. The schema is loaded only here. */
export async function parseConfiguration(text: string): Promise<ConfigurationJson> {
  const { configurationSchema } = await import('@ferry/api');
  return parseStructured(text, configurationSchema);
}
