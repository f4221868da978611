// Package verify is for those who receive webhooks from Posthorn: it checks who
// sent a request, and returns the event in it. It needs nothing but the standard
// library.
//
//	http.HandleFunc("POST /hook", func(w http.ResponseWriter, r *http.Request) {
//		event, err := verify.Request(r, os.Getenv("WEBHOOK_SECRET"))
//		if err != nil {
//			http.Error(w, err.Error(), verify.Status(err))
//			return
//		}
//		…
//		w.WriteHeader(http.StatusNoContent)
//	})
//
// Posthorn signs in two schemes. Standard Webhooks (Webhook-Signature) signs the
// id, the time of the attempt and the body, and decides wherever it is there.
// X-Webhook-Signature signs the body alone, so whoever has recorded a request can
// send it again with another X-Webhook-Timestamp: deduplicate by Event.ID.
//
// While a secret is rotated give both, the old one and the new one. An attempt
// may arrive more than once, whatever the scheme: Event.ID is the same each time.
package verify
