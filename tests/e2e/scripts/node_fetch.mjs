// Node's own fetch behind NODE_USE_ENV_PROXY, or undici's with its agent: an echo and a stream, one JSON object a line.
// Arguments: the URL to echo, and for undici the path of its index.js.
import { pathToFileURL } from "node:url";

const [url, undici] = process.argv.slice(2);
const headers = { Authorization: `Bearer ${process.env.OPENAI_API_KEY}` };
const say = (way, more) => console.log(JSON.stringify({ way, at: performance.now() / 1000, ...more }));

let ask = (path) => fetch(url + path, { headers });
if (undici) {
  const { fetch: other, EnvHttpProxyAgent } = (await import(pathToFileURL(undici))).default;
  const dispatcher = new EnvHttpProxyAgent();
  ask = (path) => other(url + path, { headers, dispatcher });
}

const answer = await ask("/echo");
say("echo", { status: answer.status, text: await answer.text(), seen: answer.headers.get("x-seen-key") });
const stream = await ask("/sse?n=8");
for await (const chunk of stream.body.pipeThrough(new TextDecoderStream())) say("stream", { text: chunk });
process.exit(0);
