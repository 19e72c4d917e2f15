package dev.reli.client;

import java.security.GeneralSecurityException;

/** What claims to come from the platform does not, or not as it is; the message says why. */
public final class VerificationException extends GeneralSecurityException {
  private static final long serialVersionUID = 1;

  VerificationException(String message) {
    super(message);
  }

  VerificationException(String message, Throwable cause) {
    super(message, cause);
  }
}
