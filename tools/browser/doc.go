// Package browser tries the web console in a real browser, against a real
// `posthorn local`: its tests are the whole story of who works with it, and
// pictures of every page.
//
//	server_test.go   a Posthorn, and receivers that do as they are told
//	browser_test.go  a browser: what a person does with a page, and waits for
//	story_test.go    from signing in to a dead letter that was replayed
//	pictures_test.go every page, light and dark, wide and narrow
//	reference_test.go the API's reference at /docs
//
// `make browser-test` runs them.
package browser
