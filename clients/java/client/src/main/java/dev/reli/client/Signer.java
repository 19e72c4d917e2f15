package dev.reli.client;

/** A request signing key in this program's hands. */
public interface Signer {
  /** The id of the request signing key, such as "requestsigningkey_01h455vb4pex5vsknk084sn02q". */
  String keyId();

  /** The name of the algorithm in a signature: "ed25519" or "hmac-sha256". */
  String algorithm();

  /** Signs the bytes; may be called by several threads at once. */
  byte[] sign(byte[] text);
}
