//! The example does what it says.

#[path = "../examples/own_tool.rs"]
mod own_tool;

#[tokio::test]
async fn the_example_has_one_call_allowed_under_an_obligation_and_one_denied() {
    let dir = tempfile::tempdir().unwrap();
    let [allowed, denied] = own_tool::two_calls(dir.path()).await.unwrap();
    assert_eq!(allowed["decision"], "allow", "{allowed}");
    assert_eq!(allowed["output"]["brightness"], 40);
    assert_eq!(allowed["obligations"][0]["dim"], 40);
    assert_eq!(denied["decision"], "deny", "{denied}");
    assert_eq!(denied["reason"], "the server room stays lit");
    assert!(denied["output"].is_null());
}
