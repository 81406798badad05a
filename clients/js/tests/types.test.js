import assert from "node:assert/strict";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import ts from "typescript";

const here = (name) => fileURLToPath(new URL(name, import.meta.url));

const MODULES = ["sluicegate", "chat", "react", "vue"];
const files = [here("./page.ts"), ...MODULES.map((name) => here(`../${name}.d.ts`))];
const program = ts.createProgram(files, {
  strict: true,
  noEmit: true,
  target: ts.ScriptTarget.ES2022,
  module: ts.ModuleKind.NodeNext,
  moduleResolution: ts.ModuleResolutionKind.NodeNext,
  lib: ["lib.es2022.d.ts", "lib.dom.d.ts"],
  types: [],
});

test("a page compiles against the types", () => {
  const found = files // not those of others, which takes a minute
    .map((file) => program.getSourceFile(file))
    .flatMap((file) => [...program.getSyntacticDiagnostics(file), ...program.getSemanticDiagnostics(file)])
    .map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, "\n"));
  assert.deepEqual(found, []);
});

for (const name of MODULES)
  test(`the types of ${name}.js name what it exports, and its classes what they do`, async () => {
    const module = await import(`../${name}.js`);
    const checker = program.getTypeChecker();
    const declared = checker
      .getExportsOfModule(checker.getSymbolAtLocation(program.getSourceFile(here(`../${name}.d.ts`))))
      .filter(({ flags }) => flags & ts.SymbolFlags.Value);
    assert.deepEqual(declared.map(({ name }) => name).sort(), Object.keys(module).sort());
    for (const { name, members, flags } of declared)
      if (flags & ts.SymbolFlags.Class) {
        const methods = [...members.values()].filter(({ flags }) => flags & ts.SymbolFlags.Method).map(({ name }) => name);
        for (const method of methods) assert.equal(typeof module[name].prototype[method], "function", `${name}.${method}`);
        const real = Object.getOwnPropertyNames(module[name].prototype).filter((name) => name !== "constructor");
        const known = new Set([...members.keys()].map(String));
        assert.deepEqual(real.filter((name) => !known.has(name)), [], name);
      }
  });
