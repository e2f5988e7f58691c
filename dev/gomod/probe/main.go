// What tests of the local cluster run in a pod:
//
//	probe serve       answers every request on port 8080 with the pod's name
//	probe get URL     prints what the URL answers
//	probe read FILE   prints the file
package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(words []string) error {
	if len(words) == 1 && words[0] == "serve" {
		return serve()
	}
	if len(words) == 2 && words[0] == "get" {
		return get(words[1])
	}
	if len(words) == 2 && words[0] == "read" {
		return read(words[1])
	}
	return fmt.Errorf("usage: probe serve | get URL | read FILE")
}

func serve() error {
	name, err := os.Hostname()
	if err != nil {
		return err
	}
	return http.ListenAndServe(":8080", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, name)
	}))
}

func get(url string) error {
	client := http.Client{Timeout: 2 * time.Second}
	answer, err := client.Get(url)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	_, err = io.Copy(os.Stdout, answer.Body)
	return err
}

func read(path string) error {
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	_, err = os.Stdout.Write(content)
	return err
}
