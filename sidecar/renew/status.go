package renew

import "net/http"

// Heals says whether a request that was refused with a status may succeed later without anybody changing anything.
func Heals(status int) bool {
	return status >= 500 || status == http.StatusRequestTimeout || status == http.StatusTooManyRequests
}
