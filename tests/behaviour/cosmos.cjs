// Runs the emulator with what it lacks of Cosmos DB, by the vendor's documentation:
// node cosmos.cjs <folder of @vercel/cosmosdb-server> -p <port>
//
// - a missing item is 404, where the emulator fails with 500;
// - a query with a partition key sees that partition alone;
// - operations of a batch have the partition key of its request, and all are undone when one fails;
// - a change feed goes on where it was: items in their latest version, in the order of their writes.
// https://learn.microsoft.com/rest/api/cosmos-db/
"use strict";
const path = require("path");
const home = process.argv[2];
const load = name => require(path.join(home, "lib", name));
const PARTITION = "x-ms-documentdb-partitionkey";

const json = load("json.js");
const parse = json.default;
json.default = async req => {
  if (req.portafaasBody === undefined) req.portafaasBody = await parse(req);
  return req.portafaasBody;
};

const readDocument = load("handler/read-document.js");
const { parsePartitionKey } = load("utils/get-partition-from-header.js");
const read = readDocument.default;
readDocument.default = (account, req, res, place) => {
  const collection = account.database(place.dbId).collection(place.collId);
  const header = req.headers[PARTITION];
  if (collection.read() && header) {
    const partition = parsePartitionKey(header, place.docId);
    if (!collection.document(place.docId, partition).read()) {
      res.statusCode = 404;
      return { code: "NotFound", message: "Entity with the specified id does not exist." };
    }
  }
  return read(account, req, res, place);
};

const queryDocuments = load("handler/query-documents.js");
const query = queryDocuments.default;
queryDocuments.default = (account, req, res, place) => {
  const header = req.headers[PARTITION];
  if (!header) return query(account, req, res, place);
  req.headers["x-ms-documentdb-query-enablecrosspartition"] = "true";
  const partition = parsePartitionKey(header, "");
  const collection = account.database(place.dbId).collection(place.collId);
  const documents = Object.create(collection.documents);
  documents._data = new Map(
    [...collection.documents._data].filter(
      ([, item]) => collection.documents._getPartition(item.read()) === partition
    )
  );
  const seen = { read: () => collection.read(), documents };
  return query({ database: () => ({ collection: () => seen }) }, req, res, place);
};

const batchDocuments = load("handler/batch-documents.js");
const batch = batchDocuments.default;
batchDocuments.default = async (account, req, res, place) => {
  const body = await json.default(req);
  for (const step of body) {
    if (step.partitionKey === undefined) step.partitionKey = req.headers[PARTITION];
  }
  const { documents } = account.database(place.dbId).collection(place.collId);
  const data = new Map(documents._data);
  const index = new Map(documents._index);
  const found = await batch(account, req, res, place);
  const failed = Array.isArray(found) ? found.findIndex(step => step.statusCode >= 400) : -1;
  if (failed >= 0) {
    documents._data = data;
    documents._index = index;
    res.statusCode = 207;
    found.forEach((step, n) => {
      if (n !== failed) step.statusCode = 424;
    });
  }
  return found;
};

const readDocuments = load("handler/read-documents.js");
const list = readDocuments.default;
const feeds = new WeakMap();
readDocuments.default = (account, req, res, place) => {
  if (!req.headers["a-im"]) return list(account, req, res, place);
  // The server's own answer is everything, or nothing at all.
  delete req.headers["a-im"];
  const { documents } = account.database(place.dbId).collection(place.collId);
  const feed = feeds.get(documents) || { last: 0, numbers: new Map() };
  feeds.set(documents, feed);
  const items = [...documents._data.values()].map(item => item.read());
  const there = new Set(items.map(item => item._etag));
  for (const tag of feed.numbers.keys()) if (!there.has(tag)) feed.numbers.delete(tag);
  for (const { _etag } of items) {
    if (!feed.numbers.has(_etag)) feed.numbers.set(_etag, ++feed.last);
  }
  const from = parseInt((req.headers["if-none-match"] || "0").replace(/"/g, ""), 10) || 0;
  const most = parseInt(req.headers["x-ms-max-item-count"] || "-1", 10);
  const found = items
    .map(item => ({ ...item, _lsn: feed.numbers.get(item._etag) }))
    .filter(item => item._lsn > from)
    .sort((one, other) => one._lsn - other._lsn)
    .slice(0, most > 0 ? most : 100);
  res.setHeader("etag", `"${found.length ? found[found.length - 1]._lsn : from}"`);
  res.setHeader("x-ms-item-count", String(found.length));
  if (!found.length) res.statusCode = 304;
  return { Documents: found, _count: found.length };
};

process.argv.splice(1, 2, "cosmosdb-server");
load("cli.js");
