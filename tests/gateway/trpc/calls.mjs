/** Calls of the real @trpc/client: argv[2] is the gateway, argv[3] JSON [[link, kind, path, input], ...] by batch. */

import { createRequire } from "node:module";
import path from "node:path";
import { pathToFileURL } from "node:url";

const require = createRequire(path.join(process.env.MODULES, "x.js"));
const { createTRPCClient, httpBatchLink, httpLink, TRPCClientError } = await import(
  pathToFileURL(require.resolve("@trpc/client"))
);

const [url, told, token] = process.argv.slice(2);
const requests = [];
const options = {
  url: `${url}/api/trpc`,
  headers: token ? { authorization: `Bearer ${token}` } : {},
  fetch: async (where, how) => {
    const response = await fetch(where, how);
    requests.push([how?.method ?? "GET", response.status]);
    return response;
  },
};
const links = { plain: httpLink(options), batched: httpBatchLink({ ...options, maxItems: 10 }) };

async function call([link, kind, name, input]) {
  const client = createTRPCClient({ links: [links[link]] });
  const at = name.split(".").reduce((found, part) => found[part], client);
  try {
    return { data: await at[kind === "query" ? "query" : "mutate"](input) };
  } catch (error) {
    if (!(error instanceof TRPCClientError) || !error.data) return { fault: String(error) };
    return { message: error.message, code: error.shape.code, data: error.data };
  }
}

/** One client for all of a batch, as its link gathers them. */
async function batch(calls) {
  const client = createTRPCClient({ links: [links[calls[0][0]]] });
  const all = calls.map(async ([, kind, name, input]) => {
    const at = name.split(".").reduce((found, part) => found[part], client);
    try {
      return { data: await at[kind === "query" ? "query" : "mutate"](input) };
    } catch (error) {
      return error.data ? { message: error.message, code: error.shape.code, data: error.data } : { fault: String(error) };
    }
  });
  return await Promise.all(all);
}

const said = [];
for (const calls of JSON.parse(told)) said.push(calls.length === 1 ? [await call(calls[0])] : await batch(calls));
console.log(JSON.stringify({ said, requests }));
