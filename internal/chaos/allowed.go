package chaos

import (
	"net/http"
	"strings"

	"posthorn/internal/permit"
)

// asAllowed is services to which each function has the rights that the template
// gives it. A function is known by its access key, which is its logical id.
func asAllowed(policies *permit.Policies, names permit.Names, services http.Handler) http.Handler {
	if policies == nil {
		return services
	}
	rights := map[string]http.Handler{}
	for _, id := range inTemplate {
		rights[id] = policies.Handler(id, names, services)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		of, known := rights[accessKey(r)]
		if !known {
			http.Error(w, "signed by none of the functions", http.StatusForbidden)
			return
		}
		of.ServeHTTP(w, r)
	})
}

// accessKey is whose signature a request has, as "Authenticating Requests (AWS
// Signature Version 4)" writes it.
func accessKey(r *http.Request) string {
	_, credential, _ := strings.Cut(r.Header.Get("Authorization"), "Credential=")
	key, _, _ := strings.Cut(credential, "/")
	return key
}

func refused(policies *permit.Policies) []permit.Grant {
	if policies == nil {
		return nil
	}
	return policies.Refused()
}
