// Bundles the page: node build.js OUT. Names carry a hash of their content, so that they may be kept for ever.
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { build } from "esbuild";

const out = process.argv[2];
if (!out) throw new Error("usage: node build.js OUT");

const options = {
  entryPoints: ["src/main.js", "css/main.css"],
  bundle: true,
  minify: true,
  format: "esm",
  target: ["es2022", "chrome109", "firefox115", "safari16"],
  entryNames: "[name]-[hash]",
  outdir: out,
  metafile: true,
  legalComments: "none",
};
const made = await build(options).catch(() => process.exit(1)); // it has said what is wrong, and where

let html = await readFile("index.html", "utf8");
for (const [file, { entryPoint }] of Object.entries(made.metafile.outputs)) {
  html = html.replace(`/static/${entryPoint}`, `/static/${basename(file)}`);
}
await mkdir(out, { recursive: true });
await writeFile(join(out, "index.html"), html);
