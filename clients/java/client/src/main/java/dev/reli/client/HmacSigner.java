package dev.reli.client;

import java.security.GeneralSecurityException;
import java.util.Base64;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;

/** Signs with HMAC-SHA256; the platform has the same secret. */
public final class HmacSigner implements Signer {
  private static final String PREFIX = "reqsec_";
  private static final String ALGORITHM = "HmacSHA256";

  private final String keyId;
  private final SecretKeySpec key;

  /**
   * A shared secret.
   *
   * @param secret "reqsec_" and the base64 of the key's bytes, as the platform showed it
   * @throws IllegalArgumentException if it is not
   */
  public HmacSigner(String keyId, String secret) {
    if (!secret.startsWith(PREFIX)) {
      throw new IllegalArgumentException("a shared secret begins with " + PREFIX);
    }
    this.keyId = keyId;
    byte[] bytes = Base64.getDecoder().decode(secret.substring(PREFIX.length()));
    this.key = new SecretKeySpec(bytes, ALGORITHM);
  }

  @Override
  public String keyId() {
    return keyId;
  }

  @Override
  public String algorithm() {
    return "hmac-sha256";
  }

  @Override
  public byte[] sign(byte[] text) {
    try {
      Mac mac = Mac.getInstance(ALGORITHM);
      mac.init(key);
      return mac.doFinal(text);
    } catch (GeneralSecurityException e) {
      throw new IllegalStateException(e);
    }
  }
}
