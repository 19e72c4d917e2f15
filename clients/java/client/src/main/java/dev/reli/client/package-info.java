/**
 * What a program needs beside the generated stubs to work with Reli: a connection, signatures,
 * retries, the log of events, and proofs of webhooks and receipts.
 */
package dev.reli.client;
