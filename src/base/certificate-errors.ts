/** Codes with which Node refuses a certificate, and what to do about it. `{}` stands for the option that names an authority. */
const ADVICE: Readonly<Record<string, string>> = {
  ERR_TLS_CERT_ALTNAME_INVALID: 'connect by a name that the certificate has',
  CERT_HAS_EXPIRED: 'renew it there',
  CERT_NOT_YET_VALID: 'correct the clocks',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'name it, or its authority, {}',
  SELF_SIGNED_CERT_IN_CHAIN: 'name its authority {}',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'name its authority {}',
  UNABLE_TO_GET_ISSUER_CERT: 'name its authority {}',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'name its authority {}',
};

/**
 * The remedy if an error refuses the certificate of the other side.
 * @param option how to name an authority, such as `with --nats-tls-ca`
 */
export function certificateAdvice(error: unknown, option: string): string | undefined {
  return ADVICE[(error as NodeJS.ErrnoException).code ?? '']?.replace('{}', option);
}
