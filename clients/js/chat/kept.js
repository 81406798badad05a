/** What a component keeps of what was said, unless its options say otherwise. */
export const MOST_MESSAGES = 200;
export const isNoTyping = ({ type }) => type !== "conversation.typing";
