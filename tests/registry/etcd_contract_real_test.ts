// EtcdStore against the contract of every store, with an etcd of its own.

import { EtcdStore } from "../../registry/etcd_store.ts";
import { type StoreSubject, testRegistryStore } from "../support/contracts/registry_store.ts";
import { testRegistryStoreWatch } from "../support/contracts/registry_store_watch.ts";
import { Etcd, etcdPresent, etcdSkipped } from "../support/etcd_process.ts";

// One etcd for all of them, one prefix for each.
let etcd: Etcd | undefined;
let opened = 0;

async function open(): Promise<StoreSubject> {
  const store = new EtcdStore(etcd!.url, { prefix: `/test/${opened++}/` });
  return await Promise.resolve({
    store,
    // Time is etcd's, and passes by itself.
    advance: (ms: number) => new Promise((resolve) => setTimeout(resolve, ms)),
    // It looks for leases that are over every 500 ms, or later if the machine is busy.
    late: 3_000,
    [Symbol.asyncDispose]: () => store.close(),
  });
}

Deno.test.beforeAll(async () => {
  if (etcdPresent) etcd = await Etcd.start();
});
Deno.test.afterAll(async () => {
  await etcd?.[Symbol.asyncDispose]();
});

testRegistryStore(`EtcdStore${etcdSkipped}`, open, !etcdPresent);
testRegistryStoreWatch(`EtcdStore${etcdSkipped}`, open, !etcdPresent);
