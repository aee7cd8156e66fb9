package harness

import "context"

// Shutdown ends the handler as servers do that are told to stop: new connections are refused at once, and calls under way get their answer.
// It returns when they have. Up starts the handler again.
func (h *Handler) Shutdown() {
	h.mu.Lock()
	server, served, cancel := h.server, h.served, h.cancel
	h.server = nil
	h.mu.Unlock()
	if server == nil {
		return
	}
	if err := server.Shutdown(context.Background()); err != nil {
		h.t.Errorf("shut the handler down: %v", err)
	}
	cancel()
	<-served
}
