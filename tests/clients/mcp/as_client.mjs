// Runs `bailiwick mcp try` as the client that the conformance suite of the protocol's owners judges: what a scenario hands in is
// handed on as a person would say it. as_client.mjs BAILIWICK URL; the rest stands in the environment.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const [bailiwick, url] = process.argv.slice(2)
const scenario = process.env.MCP_CONFORMANCE_SCENARIO
const context = JSON.parse(process.env.MCP_CONFORMANCE_CONTEXT ?? '{}')
const place = mkdtempSync(join(tmpdir(), 'as-client-'))
const file = (name, text) => (writeFileSync(join(place, name), text), join(place, name))

const said = ['--follow', '--protocol', process.env.MCP_CONFORMANCE_PROTOCOL_VERSION]
if (scenario === 'auth/basic-cimd') said.push('--client-document', 'https://conformance-test.local/client-metadata.json')
if (context.issuer) said.push('--issuer', context.issuer)
if (context.client_id) said.push('--client-id', context.client_id)
if (context.client_secret) said.push('--client-secret-file', file('secret', context.client_secret))
if (context.private_key_pem) said.push('--client-key-file', file('key', context.private_key_pem))
if (scenario.startsWith('auth/client-credentials')) said.push('--client-credentials')
if (context.valid_jwt) said.push('--assertion-file', file('assertion', context.valid_jwt))
if (context.idp_issuer) {
  said.push('--idp', context.idp_issuer, '--idp-client-id', context.idp_client_id)
  said.push('--subject-token-file', file('id-token', context.idp_id_token))
}

const call = (name, args = {}) => ['--call', `${name} ${JSON.stringify(args)}`]
const run = (...more) => {
  const done = spawnSync(bailiwick, ['mcp', 'try', url, ...said, ...more], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
  process.stdout.write(done.stdout)
  process.stderr.write(done.stderr)
  return done
}
// What is listed is read first where what is called depends on it.
const listed = () => JSON.parse(run('--json').stdout).tools
const calls = {
  tools_call: () => call('add_numbers', { a: 2, b: 3 }),
  'elicitation-sep1034-client-defaults': () => [...call('test_client_elicitation_defaults'), '--accept-defaults'],
  'sse-retry': () => call('test_reconnection'),
  'sep-2322-client-request-state': () => [
    ...['echo_state', 'no_state', 'unrelated', 'no_result_type'].flatMap(name => call(`test_mrtr_${name}`)), '--accept-defaults',
  ],
  'http-standard-headers': () => ['test_headers', 'my-hyphenated-tool'].flatMap(name => call(name)),
  'http-custom-headers': () => context.toolCalls.flatMap(one => call(one.name, one.arguments)),
  'http-invalid-tool-headers': () => listed().flatMap(tool => call(tool.name, { region: 'eu', value: 'x' })),
  'json-schema-2020-12-preservation': () =>
    call('json_schema_echo', { schema: listed().find(tool => tool.name === 'json_schema_2020_12_tool').inputSchema }),
}
const more = calls[scenario]?.() ?? (scenario.startsWith('auth/') ? call('test-tool') : [])
const done = run(...more)
rmSync(place, { recursive: true })
process.exit(done.status ?? 3)
