/** The real @trpc/server with procedures of our names: what the protocol says, to compare with. */

import http from "node:http";
import { createRequire } from "node:module";
import path from "node:path";
import { pathToFileURL } from "node:url";

const require = createRequire(path.join(process.env.MODULES, "x.js"));
const load = (name) => import(pathToFileURL(require.resolve(name)));
const { initTRPC, TRPCError } = await load("@trpc/server");
const { createHTTPHandler } = await load("@trpc/server/adapters/standalone");

const t = initTRPC.create({ isDev: false });
const any = t.procedure.input((value) => value);
const answered = ({ input }) => {
  const code = input?.fail;
  if (code) throw new TRPCError({ code, message: "as told" });
  return { input: input ?? null };
};
const query = any.query(answered);
const router = t.router({
  consciousness: t.router({
    field: query, entanglement: query, room64: query, archaeology: query, sync: any.mutation(answered),
  }),
});
const handler = createHTTPHandler({ router, basePath: "/api/trpc/", maxBatchSize: 32 });
const server = http.createServer(handler);
server.listen(0, "127.0.0.1", () => console.log(`http://127.0.0.1:${server.address().port}`));
