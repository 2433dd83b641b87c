// sigstore's own client, offline and with a key of one's own:
//
//     node bundle.mjs sign PRIVATE.pem <STATEMENT >BUNDLE      a bundle v0.3 with a DSSE envelope
//     node bundle.mjs verify PUBLIC.pem <BUNDLE                fails unless it is by that key
import crypto from "node:crypto";
import fs from "node:fs";

import { bundleFromJSON, bundleToJSON } from "@sigstore/bundle";
import { DSSEBundleBuilder } from "@sigstore/sign";
import { toSignedEntity, Verifier } from "@sigstore/verify";

const [act, keyFile] = process.argv.slice(2);
const key = fs.readFileSync(keyFile);
const input = fs.readFileSync(0);

async function sign() {
    const signer = {
        sign: async (data) => ({
            signature: crypto.sign("sha256", data, key),
            key: { $case: "publicKey", publicKey: "", hint: "test" },
        }),
    };
    const builder = new DSSEBundleBuilder({ signer, witnesses: [] });
    const bundle = await builder.create({ data: input, type: "application/vnd.in-toto+json" });
    process.stdout.write(JSON.stringify(bundleToJSON(bundle)));
}

function verify() {
    const trust = {
        certificateAuthorities: [], timestampAuthorities: [], tlogs: [], ctlogs: [],
        publicKey: () => ({ publicKey: crypto.createPublicKey(key), validFor: () => true }),
    };
    const verifier = new Verifier(trust, { tlogThreshold: 0, ctlogThreshold: 0, tsaThreshold: 0 });
    verifier.verify(toSignedEntity(bundleFromJSON(JSON.parse(input))));
}

await (act === "sign" ? sign() : verify());
