// What a person sees of a refusal in Node. Arguments: the way (fetch or https) and the URL.
import https from "node:https";
import { inspect } from "node:util";

const [way, url] = process.argv.slice(2);
const done = (text) => { console.log(text); process.exit(0); };

if (way === "fetch") {
  try {
    const answer = await fetch(url);
    done(`${answer.status} ${await answer.text()}`);
  } catch (error) {
    done(inspect(error, { depth: 5 }));
  }
}
https.get(url, (answer) => done(String(answer.statusCode))).on("error", (error) => done(error.message));
