package invoke

const upperHex = "0123456789ABCDEF"

// appendEscaped percent-encodes every byte that keep does not keep, in upper-case hexadecimal (RFC 3986 §2.1).
func appendEscaped[T string | []byte](dst []byte, s T, keep func(byte) bool) []byte {
	for i := range len(s) {
		c := s[i]
		if keep(c) {
			dst = append(dst, c)
		} else {
			dst = append(dst, '%', upperHex[c>>4], upperHex[c&15])
		}
	}
	return dst
}

// unreserved are the bytes that mean themselves in any part of a URL (RFC 3986 §2.3).
func unreserved(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '.' || c == '_' || c == '~'
}

// visible are the bytes that a header value of foreign origin keeps. '%' is one of them: a value that is encoded already, as that of baggage is, must
// not be encoded twice.
func visible(c byte) bool { return '!' <= c && c <= '~' }

// visibleUnquoted is visible without percent and double quote: what CloudEvents keeps in headers (HTTP binding 1.0 §3.1.3.2).
func visibleUnquoted(c byte) bool { return visible(c) && c != '%' && c != '"' }

// fieldValue are the bytes that a header value may hold (RFC 9110 §5.5) without those above ASCII.
func fieldValue(c byte) bool { return ' ' <= c && c <= '~' || c == '\t' }

// appendSegment encodes s as part of a path segment or of a query. A value of dots alone has them encoded as well: "." and ".." are
// segments that clients, proxies and servers take out of a path (RFC 3986 §5.2.4).
func appendSegment[T string | []byte](dst []byte, s T) []byte {
	for i := range len(s) {
		if s[i] != '.' {
			return appendEscaped(dst, s, unreserved)
		}
	}
	for range len(s) {
		dst = append(dst, "%2E"...)
	}
	return dst
}

// isToken says whether s can be the name of a header (RFC 9110 §5.6.2).
func isToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case c == '!', c == '#', c == '$', c == '%', c == '&', c == '\'', c == '*', c == '+',
			c == '-', c == '.', c == '^', c == '_', c == '`', c == '|', c == '~':
		default:
			return false
		}
	}
	return s != ""
}
