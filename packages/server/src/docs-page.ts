/**
 * The reference page at /docs, rendered once from the OpenAPI document: plain HTML and CSS, no script, nothing loaded
 * from anywhere. It shows the contract and holds no data of the fleet.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { JsonSchema, OpenApiDocument, OpenApiOperation } from '@ferry/api';

export interface DocsPage {
  readonly html: string;
  readonly contentSecurityPolicy: string;
}

type ErrorRows = Readonly<Record<string, { readonly status: number; readonly exit: number; readonly remedy: string }>>;

const css = readFileSync(new URL('docs-page.css', import.meta.url), 'utf8');

export const docsPage = (document: OpenApiDocument, errors: ErrorRows): DocsPage => {
  const { title, version, description: about } = document.info;
  const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ path, method: method.toUpperCase(), operation })),
  );
  const html = `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>${text(title)} API ${text(version)}</title><style>${css}</style></head><body>
<header><h1>${text(title)} API <small>${text(version)}</small></h1><p>${text(about)}</p></header>
<nav><h2>Operations</h2><ul>${operations.map(operationLink).join('')}</ul>
<p><a href="#objects">Objects</a> · <a href="#errors">Errors</a></p></nav>
<main>${introduction}
${operations.map(operationSection).join('\n')}
${objectsSection(document)}
${errorsSection(errors)}
</main></body></html>
`;
  const hash = createHash('sha256').update(css).digest('base64');
  return {
    html,
    contentSecurityPolicy: `default-src 'none'; style-src 'sha256-${hash}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`,
  };
};

interface Operation {
  readonly path: string;
  readonly method: string;
  readonly operation: OpenApiOperation;
}

const introduction = `<section><h2>Before the first call</h2>
<p>Every request carries the token that the server created when it first started. It is in the file <code>token</code>
of the data folder; only the folder's owner can read it. The examples take the address and the token from the
environment; the address is the address of this page.</p>
<pre>export FERRY_SERVER=http://127.0.0.1:PORT
export FERRY_TOKEN="$(cat DATA_FOLDER/token)"</pre>
<p>Every refusal is a <a href="#schema-Problem">problem document</a> that has a code, says what is wrong and says what
to do about it. <code>GET /openapi.json</code> returns the document that this page is made from.</p>
<h2>Several clients at once</h2>
<p>A document that can be changed has a <code>revision</code>, which is also its <code>ETag</code>. To change what you
read and nothing newer, send the ETag back as <code>If-Match</code>:</p>
<pre>curl -sS -X PATCH -H "Authorization: Bearer $FERRY_TOKEN" -H 'If-Match: "17"' \\
  -H 'Content-Type: application/json' -d '{"migrationAddress":"10.0.0.1"}' "$FERRY_SERVER/api/v1/hosts/host1"</pre>
<p>If the document has another revision now, the answer is <a href="#error-revision-stale">412</a> and nothing is
changed: read it again and decide on what it says. Without <code>If-Match</code> the last change wins. The revision
covers what Ferry stores: the settings of a host, a cluster or the fleet, a policy, a rule, the labels of a VM, a
migration without its progress. <code>"0"</code> means that nothing is stored yet. What a host reports changes no revision.</p>
<p>A request that creates something can carry an <code>Idempotency-Key</code> of your choice. If you do not get the answer,
send the request again with the same key: it is carried out once, and you get the first answer. The key is kept for 24
hours, also across a restart. With another request it is <a href="#error-idempotency-key-used">refused</a>. A request that
was refused created nothing; its key can be used again.</p>
<pre>curl -sS -X POST -H "Authorization: Bearer $FERRY_TOKEN" -H "Idempotency-Key: $(uuidgen)" \\
  -H 'Content-Type: application/json' -d '{"vm":"web1","to":"host2"}' "$FERRY_SERVER/api/v1/migrations"</pre></section>`;

const operationLink = ({ path, method, operation }: Operation): string =>
  `<li><a href="#${text(operation.operationId)}"><b>${method}</b> <code>${text(path)}</code></a></li>`;

const operationSection = ({ path, method, operation }: Operation): string => {
  const body = operation.requestBody?.content['application/json']?.schema;
  const good = Object.entries(operation.responses).filter(([status]) => status.startsWith('2'));
  const codes = operation['x-ferry-errors'].map((code) => `<a href="#error-${code}"><code>${code}</code></a>`);
  return `<section id="${text(operation.operationId)}">
<h2><b class="${method}">${method}</b> <code>${text(path)}</code></h2><p>${text(operation.summary)}.</p>
${parametersTable(operation.parameters ?? [])}
${body === undefined ? '' : `<h3>Body</h3><p>${typeOf(body)}</p>`}
<h3>Answer</h3>${good.map(([status, response]) => `<p>${status}: ${contentOf(response)}</p>`).join('')}
<h3>Errors</h3><p>${codes.join(' ')}</p>
<h3>Example</h3><pre>${text(curl(path, method, operation))}</pre></section>`;
};

const parametersTable = (parameters: NonNullable<OpenApiOperation['parameters']>): string => {
  if (parameters.length === 0) return '';
  const rows = parameters.map(({ name, in: place, required, schema, description: meaning = '' }) => {
    const where = required ? `${place}, required` : place;
    return `<tr><td><code>${text(name)}</code><td>${where}<td>${typeOf(schema)}<td>${text(meaning)}</tr>`;
  });
  return `<h3>Parameters</h3><table><tbody>${rows.join('')}</tbody></table>`;
};

const contentOf = (response: OpenApiOperation['responses'][string]): string =>
  Object.entries(response.content ?? {})
    .map(([type, { schema }]) => `${typeOf(schema)} as <code>${text(type)}</code>`)
    .join('') || 'no body';

const objectsSection = (document: OpenApiDocument): string => {
  const objects = Object.entries(document.components.schemas).map(
    ([name, schema]) => `<h3 id="schema-${text(name)}">${text(name)}</h3>${description(schema)}${schemaBlock(schema)}`,
  );
  return `<section id="objects"><h2>Objects</h2>${objects.join('\n')}</section>`;
};

const errorsSection = (errors: ErrorRows): string => {
  const rows = Object.entries(errors).map(([code, { status, exit, remedy }]) => {
    const cells = `<td><code>${text(code)}</code><td>${status}<td>${exit}<td>${text(remedy)}`;
    return `<tr id="error-${text(code)}">${cells}</tr>`;
  });
  return `<section id="errors"><h2>Errors</h2><table>
<thead><tr><th>Code<th>Status<th>Exit code of the CLI<th>What to do</tr></thead>
<tbody>${rows.join('')}</tbody></table></section>`;
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
      const label = `<code>${text(name)}</code>${required.includes(name) ? '' : ' <i>optional</i>'}`;
      return `<tr><td>${label}<td>${typeOf(inner)}${nested}<td>${descriptionText(inner)}</tr>`;
    })
    .join('')}</tbody></table>`;
};

const descriptionText = (schema: JsonSchema): string =>
  typeof schema['description'] === 'string' ? text(schema['description']) : '';
const description = (schema: JsonSchema): string =>
  typeof schema['description'] === 'string' ? `<p>${descriptionText(schema)}</p>` : '';
const asSchema = (value: unknown): JsonSchema =>
  typeof value === 'object' && value !== null ? (value as JsonSchema) : {};
const text = (raw: string): string =>
  raw.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
