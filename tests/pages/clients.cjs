// SPDX-License-Identifier: MIT
// clients.cjs HOST:PORT: what npm's webfinger.js reads there, in JSON.
const WebFinger = require("webfinger.js");

const host = process.argv[2];
const client = new WebFinger({ allow_private_addresses: true }); // it asks localhost by http

const errorOf = (asked) =>
  asked.then(
    () => null,
    (error) => ({ name: error.name, status: error.status }),
  );

(async () => {
  const alice = await client.lookup(`alice@${host}`);
  console.log(
    JSON.stringify({
      alice: alice.object,
      name: alice.idx.properties.name,
      profiles: alice.idx.links.profile.map((link) => link.href),
      avatar: (await client.lookupLink(`alice@${host}`, "avatar")).href,
      absent: await errorOf(client.lookup(`nobody@${host}`)),
      hidden: await errorOf(client.lookup(`hidden@${host}`)),
    }),
  );
})();
