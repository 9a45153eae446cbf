/**
 * The reference page at /docs, rendered once from the OpenAPI document: plain HTML and CSS, no script, nothing loaded
 * from anywhere. It shows the contract and holds no data of the fleet.
 */
import { createHash } from 'node:crypto';
import type { JsonSchema, OpenApiDocument, OpenApiOperation } from '@ferry/api';

export interface DocsPage {
  readonly html: string;
  readonly contentSecurityPolicy: string;
}

type ErrorRows = Readonly<Record<string, { readonly status: number; readonly exit: number; readonly remedy: string }>>;

export const docsPage = (document: OpenApiDocument, errors: ErrorRows): DocsPage => {
  const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ path, method: method.toUpperCase(), operation })),
  );
  const html = `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>${text(document.info.title)} API ${text(document.info.version)}</title><style>${css}</style></head><body>
<header><h1>${text(document.info.title)} API <small>${text(document.info.version)}</small></h1><p>${text(document.info.description)}</p></header>
<nav><h2>Operations</h2><ul>${operations.map(({ path, method, operation }) => `<li><a href="#${text(operation.operationId)}"><b>${method}</b> <code>${text(path)}</code></a></li>`).join('')}</ul>
<p><a href="#objects">Objects</a> · <a href="#errors">Errors</a></p></nav>
<main><section><h2>Before the first call</h2>
<p>Every request carries the token that the server made at its first start; it is in the file <code>token</code> of the data folder, readable by its owner only. The examples take address and token from the environment; the address is that of this page.</p>
<pre>export FERRY_SERVER=http://127.0.0.1:PORT
export FERRY_TOKEN="$(cat DATA_FOLDER/token)"</pre>
<p>Every refusal is a <a href="#schema-Problem">problem document</a> with a code, a sentence and the way out. The document behind this page is at <code>GET /openapi.json</code>.</p></section>
${operations.map(({ path, method, operation }) => operationSection(path, method, operation)).join('\n')}
<section id="objects"><h2>Objects</h2>${Object.entries(document.components.schemas)
    .map(
      ([name, schema]) =>
        `<h3 id="schema-${text(name)}">${text(name)}</h3>${description(schema)}${schemaBlock(schema)}`,
    )
    .join('\n')}</section>
<section id="errors"><h2>Errors</h2><table><thead><tr><th>Code<th>Status<th>Exit code of the CLI<th>Way out</tr></thead><tbody>${Object.entries(
    errors,
  )
    .map(
      ([code, row]) =>
        `<tr id="error-${text(code)}"><td><code>${text(code)}</code><td>${row.status}<td>${row.exit}<td>${text(row.remedy)}</tr>`,
    )
    .join('')}</tbody></table></section>
</main></body></html>
`;
  const hash = createHash('sha256').update(css).digest('base64');
  return {
    html,
    contentSecurityPolicy: `default-src 'none'; style-src 'sha256-${hash}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`,
  };
};

const operationSection = (path: string, method: string, operation: OpenApiOperation): string => {
  const parameters = operation.parameters ?? [];
  const body = operation.requestBody?.content['application/json']?.schema;
  const good = Object.entries(operation.responses).filter(([status]) => status.startsWith('2'));
  return `<section id="${text(operation.operationId)}"><h2><b class="${method}">${method}</b> <code>${text(path)}</code></h2><p>${text(operation.summary)}.</p>
${parameters.length === 0 ? '' : `<h3>Parameters</h3><table><tbody>${parameters.map((one) => `<tr><td><code>${text(one.name)}</code><td>${one.in}${one.required ? ', required' : ''}<td>${typeOf(one.schema)}<td>${text(one.description ?? '')}</tr>`).join('')}</tbody></table>`}
${body === undefined ? '' : `<h3>Body</h3><p>${typeOf(body)}</p>`}
<h3>Answer</h3>${good
    .map(
      ([status, response]) =>
        `<p>${status}: ${
          Object.entries(response.content ?? {})
            .map(([type, { schema }]) => `${typeOf(schema)} as <code>${text(type)}</code>`)
            .join('') || 'no body'
        }</p>`,
    )
    .join('')}
<h3>Errors</h3><p>${operation['x-ferry-errors'].map((code) => `<a href="#error-${code}"><code>${code}</code></a>`).join(' ')}</p>
<h3>Example</h3><pre>${text(curl(path, method, operation))}</pre></section>`;
};

/** Values that make the examples read like a session. */
const sample: Readonly<Record<string, string>> = { host: 'host1', vm: 'web1', migration: 'm-id' };
const sampleBody: Readonly<Record<string, string>> = {
  hostAdd: '{"uri":"qemu+tcp://host1/system"}',
  migrationCreate: '{"vm":"web1","to":"host2"}',
};

const curl = (path: string, method: string, operation: OpenApiOperation): string => {
  const stream = Object.values(operation.responses).some(
    (response) => response.content?.['text/event-stream'] !== undefined,
  );
  const url = path.replaceAll(/\{(\w+)\}/g, (_, name: string) => sample[name] ?? name);
  const body = sampleBody[operation.operationId];
  return [
    `curl ${stream ? '-N' : '-sS'}${method === 'GET' ? '' : ` -X ${method}`} -H "Authorization: Bearer $FERRY_TOKEN"`,
    ...(body === undefined ? [] : [`-H 'Content-Type: application/json' -d '${body}'`]),
    `"$FERRY_SERVER${url}"`,
  ].join(' \\\n  ');
};

const typeOf = (schema: JsonSchema): string => {
  const ref = schema['$ref'];
  if (typeof ref === 'string') {
    const name = ref.slice(ref.lastIndexOf('/') + 1);
    return `<a href="#schema-${text(name)}">${text(name)}</a>`;
  }
  if (Array.isArray(schema['enum']))
    return schema['enum'].map((value) => `<code>${text(String(value))}</code>`).join(' | ');
  if (schema['const'] !== undefined) return `<code>${text(JSON.stringify(schema['const']))}</code>`;
  if (schema['type'] === 'array') return `list of ${typeOf(asSchema(schema['items']))}`;
  const limits = ['format', 'pattern', 'minimum', 'maximum', 'minLength', 'maxLength']
    .filter((key) => schema[key] !== undefined && Math.abs(Number(schema[key])) !== Number.MAX_SAFE_INTEGER)
    .map((key) => `${key} ${String(schema[key])}`);
  return text([typeof schema['type'] === 'string' ? schema['type'] : 'value', ...limits].join(', '));
};

const schemaBlock = (schema: JsonSchema): string => {
  if (Array.isArray(schema['oneOf']))
    return schema['oneOf'].map((one) => description(asSchema(one)) + schemaBlock(asSchema(one))).join('');
  const properties = Object.entries(asSchema(schema['properties']));
  const required: readonly unknown[] = Array.isArray(schema['required']) ? schema['required'] : [];
  if (properties.length === 0) return `<p>${typeOf(schema)}</p>`;
  return `<table><tbody>${properties
    .map(([name, value]) => {
      const inner = asSchema(value);
      const element = inner['type'] === 'array' ? asSchema(inner['items']) : inner;
      const nested = element['properties'] === undefined ? '' : schemaBlock(element);
      return `<tr><td><code>${text(name)}</code>${required.includes(name) ? '' : ' <i>optional</i>'}<td>${typeOf(inner)}${nested}<td>${typeof inner['description'] === 'string' ? text(inner['description']) : ''}</tr>`;
    })
    .join('')}</tbody></table>`;
};

const description = (schema: JsonSchema): string =>
  typeof schema['description'] === 'string' ? `<p>${text(schema['description'])}</p>` : '';
const asSchema = (value: unknown): JsonSchema =>
  typeof value === 'object' && value !== null ? (value as JsonSchema) : {};
const text = (raw: string): string =>
  raw.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');

const css = `:root{color-scheme:light dark;--line:light-dark(#d0d7de,#3d444d);--soft:light-dark(#f6f8fa,#161b22);--link:light-dark(#0550ae,#79b8ff)}
body{font:16px/1.5 system-ui,sans-serif;margin:0 auto;max-width:64rem;padding:1rem 1.5rem 4rem}
a{color:var(--link);text-decoration:none}a:hover{text-decoration:underline}
code,pre{font:.875em/1.5 ui-monospace,monospace}pre{background:var(--soft);border:1px solid var(--line);border-radius:6px;overflow-x:auto;padding:.75rem}
nav ul{list-style:none;padding:0}section{border-top:1px solid var(--line);margin-top:2rem}h3{font-size:1rem;margin:1rem 0 .25rem}
table{border-collapse:collapse;width:100%}td,th{border-bottom:1px solid var(--line);padding:.25rem .75rem .25rem 0;text-align:left;vertical-align:top;overflow-wrap:anywhere}
td table{font-size:.9375em;margin-left:.5rem}b{font-size:.8em;letter-spacing:.03em}i,small{opacity:.7}:target{background:light-dark(#fff8c5,#3a3000)}`;
