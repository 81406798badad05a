import assert from "node:assert/strict";
import { test } from "node:test";
import { Follower } from "../chat/follower.js";

const created = (number) => ({ type: "message.created", conversation_id: "c", message: { id: `c.${number}` } });

test("a gap that shows while the history is asked a second time is looked for again", async () => {
  const heard = [];
  const asked = [];
  const page = ({ after }) => new Promise((answer) => asked.push({ after, answer }));
  const answer = async (...numbers) => {
    asked.at(-1).answer({ messages: numbers.map((number) => ({ id: `c.${number}` })), next: null });
    await new Promise(setImmediate);
  };
  const handOut = ({ message }) => heard.push(message.id);
  const follower = new Follower({ conversationId: "c", after: "c.13", page, handOut });

  follower.heard(created(15)); // 14 is not there yet when the first page is asked for
  const caughtUp = follower.catchUp();
  await answer();
  follower.heard(created(17)); // while the second is under way, which has been read up to 15
  await answer(14, 15);
  await answer(16, 17);
  await caughtUp;

  assert.deepEqual(heard, ["c.14", "c.15", "c.16", "c.17"]);
  assert.deepEqual(asked.map(({ after }) => after), ["c.13", "c.13", "c.15"]);
  follower.heard(created(18));
  assert.equal(heard.at(-1), "c.18");
});
