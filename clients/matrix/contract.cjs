// The contract of every client of the matrix (contract.py says it), for those in JavaScript.
"use strict";
const readline = require("node:readline");

/** Calls `perform(word, fields)` for each line of stdin, one after another; ends the program with it. */
exports.perform = async function (perform) {
  for await (const line of readline.createInterface({ input: process.stdin, crlfDelay: Infinity })) {
    const [word, ...fields] = line.split(" ");
    await perform(word, fields);
  }
  process.exit(0);
};

exports.say = (...words) => console.log(words.join(" "));
exports.encoded = (payload) => Buffer.from(payload).toString("base64");
exports.decoded = (field) => Buffer.from(field, "base64");
