package dev.reli.client;

import java.security.GeneralSecurityException;
import java.security.InvalidKeyException;
import java.security.KeyFactory;
import java.security.PrivateKey;
import java.security.PublicKey;
import java.security.Signature;
import java.security.spec.EdECPrivateKeySpec;
import java.security.spec.InvalidKeySpecException;
import java.security.spec.NamedParameterSpec;
import java.security.spec.X509EncodedKeySpec;
import java.util.Arrays;
import java.util.HexFormat;

/** Signs with Ed25519 (RFC 8032); the platform has the public key. */
public final class Ed25519Signer implements Signer {
  /** What X.509 has before the 32 bytes of a key (RFC 8410, section 4). */
  private static final byte[] PREFIX = HexFormat.of().parseHex("302a300506032b6570032100");

  private final String keyId;
  private final PrivateKey key;

  /**
   * A key of the JDK, such as a {@code KeyPairGenerator.getInstance("Ed25519")} makes.
   *
   * @throws IllegalArgumentException if it is no Ed25519 key
   */
  public Ed25519Signer(String keyId, PrivateKey key) {
    this.keyId = keyId;
    this.key = key;
    sign(new byte[0]);
  }

  /**
   * A key as RFC 8032 writes it.
   *
   * @param seed 32 bytes
   * @throws IllegalArgumentException if they are not 32
   */
  public Ed25519Signer(String keyId, byte[] seed) {
    this(keyId, privateKey(seed));
  }

  /** The 32 bytes of a public key, as CreateRequestSigningKey takes them. */
  public static byte[] bytesOf(PublicKey key) {
    byte[] encoded = key.getEncoded();
    if (encoded.length != PREFIX.length + 32
        || !Arrays.equals(Arrays.copyOf(encoded, PREFIX.length), PREFIX)) {
      throw new IllegalArgumentException("no Ed25519 key: " + key.getAlgorithm());
    }
    return Arrays.copyOfRange(encoded, PREFIX.length, encoded.length);
  }

  static PublicKey publicKey(byte[] bytes) throws InvalidKeySpecException {
    byte[] encoded = Arrays.copyOf(PREFIX, PREFIX.length + bytes.length);
    System.arraycopy(bytes, 0, encoded, PREFIX.length, bytes.length);
    return factory().generatePublic(new X509EncodedKeySpec(encoded));
  }

  private static PrivateKey privateKey(byte[] seed) {
    if (seed.length != 32) {
      throw new IllegalArgumentException("a seed has 32 bytes, not " + seed.length);
    }
    try {
      return factory().generatePrivate(new EdECPrivateKeySpec(NamedParameterSpec.ED25519, seed));
    } catch (InvalidKeySpecException e) {
      throw new IllegalArgumentException(e);
    }
  }

  private static KeyFactory factory() {
    try {
      return KeyFactory.getInstance("Ed25519");
    } catch (GeneralSecurityException e) {
      throw new IllegalStateException(e);
    }
  }

  @Override
  public String keyId() {
    return keyId;
  }

  @Override
  public String algorithm() {
    return "ed25519";
  }

  @Override
  public byte[] sign(byte[] text) {
    try {
      Signature signature = Signature.getInstance("Ed25519");
      signature.initSign(key);
      signature.update(text);
      return signature.sign();
    } catch (InvalidKeyException e) {
      throw new IllegalArgumentException(e);
    } catch (GeneralSecurityException e) {
      throw new IllegalStateException(e);
    }
  }
}
